"""Public files that ``netproof fetch`` knows: where they are, what they hash to, where they go.

For a repository, the base is the address under which its host serves files of one commit. Hosts change their
addresses, so another base can be given; the hashes stay.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.resources import files
from pathlib import Path

from netproof.errors import InputError
from netproof.files.digests import Digest
from netproof.files.download import Patience, Report, download
from netproof.formats.images.archives import cifar, tiny_imagenet


@dataclass(frozen=True)
class PublicFile:
    """A public file, where it is, and by which hash it is known.

    Attributes
    ----------
    path : below the base, and below the collection's folder
    digest : its published hash
    size : in bytes, where published
    """

    path: str
    digest: Digest
    size: int | None = None


@dataclass(frozen=True)
class Collection:
    """Files that are fetched together.

    Attributes
    ----------
    name : by which ``netproof fetch`` knows them, and the folder in the data folder that they go to
    description : one line
    base : the address that their paths continue
    files : all of them
    """

    name: str
    description: str
    base: str
    files: tuple[PublicFile, ...]

    def matching(self, pattern: str | None) -> tuple[PublicFile, ...]:
        """The files whose path matches a glob; raises :class:`InputError` where there are none."""
        chosen = tuple(file for file in self.files if pattern is None or fnmatchcase(file.path, pattern))
        if not chosen:
            raise InputError(
                f"'{pattern}'", f"matches none of the {len(self.files)} files", f"for instance: {self.files[0].path}"
            )
        return chosen


def collections() -> Mapping[str, Collection]:
    """All collections, by name."""
    resnet = "cifar100_tinyimagenet_resnet"
    toronto = "https://www.cs.toronto.edu/~kriz/"
    found = (
        Collection(
            resnet,
            "five ResNets of VNN-COMP 2022 on CIFAR-100 and TinyImageNet, 98 properties, lists of selected images",
            "https://raw.githubusercontent.com/Lucas110550/CIFAR100_TinyImageNet_ResNet/"
            "faf51ff90235ae82ae9d3f9fbe50afaa7dcbebe9/",
            tuple(_listed(resnet)),
        ),
        Collection(
            "cifar-10",
            "the images of CIFAR-10",
            toronto,
            (_archive("cifar-10-python.tar.gz", cifar.SHA256["cifar-10-python.tar.gz"], 170_498_071),),
        ),
        Collection(
            "cifar-100",
            "the images of CIFAR-100",
            toronto,
            (_archive("cifar-100-python.tar.gz", cifar.SHA256["cifar-100-python.tar.gz"], 169_001_437),),
        ),
        Collection(
            "tiny-imagenet",
            "the images of TinyImageNet",
            "http://cs231n.stanford.edu/",
            (_archive("tiny-imagenet-200.zip", tiny_imagenet.SHA256, 248_100_043),),
        ),
    )
    return {collection.name: collection for collection in found}


def collection(name: str) -> Collection:
    """The collection of that name; raises :class:`InputError` listing what is known."""
    known = collections()
    if name not in known:
        raise InputError(name, "nothing to fetch has this name", f"known: {', '.join(known)}")
    return known[name]


@dataclass(frozen=True)
class Fetched:
    """One file that is now in its place."""

    file: PublicFile
    path: Path
    downloaded: bool


def fetch(
    wanted: Collection,
    folder: Path,
    *,
    base: str | None = None,
    pattern: str | None = None,
    report: Report | None = None,
    patience: Patience = Patience(),  # noqa: B008 (it is frozen)
) -> Iterator[Fetched]:
    """Bring a collection's files into ``folder / wanted.name``, one after the other.

    A file that is there with the right hash is left; another one in its place is refused, never overwritten.

    Raises
    ------
    InputError : see :func:`netproof.files.download.download`; a pattern that matches nothing
    FormatError : a file that is not the published one, on the server or in the folder
    """
    start = wanted.base if base is None else base if base.endswith("/") else f"{base}/"
    for file in wanted.matching(pattern):
        target = folder / wanted.name / file.path
        if target.exists():
            _check(target, file)
            yield Fetched(file, target, downloaded=False)
        else:
            download(start + file.path, target, file.digest, size=file.size, report=report, patience=patience)
            yield Fetched(file, target, downloaded=True)


def cache_folder() -> Path:
    """Where fetched files go and are looked for: ``$XDG_CACHE_HOME/netproof``, or ``~/.cache/netproof``."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path("~").expanduser() / ".cache") / "netproof"


def _check(target: Path, file: PublicFile) -> None:
    try:
        found = file.digest.of(target)
    except OSError as error:
        raise InputError(target, f"cannot be read ({error.strerror})", "check its permissions") from None
    if found != file.digest:
        raise InputError(
            target, f"is there already, and is not the published file ({found})", "move it away and fetch it again"
        )


def _archive(name: str, sha256: str, size: int) -> PublicFile:
    return PublicFile(name, Digest("sha256", sha256), size)


def _listed(name: str) -> Iterator[PublicFile]:
    """The files of a list that comes with the package: hash, size or ``-``, path."""
    text = (files("netproof.benchmarks") / "public_files" / f"{name}.txt").read_text("utf-8")
    for line in text.splitlines():
        if not line.startswith("#"):
            digest, size, path = line.split()
            yield PublicFile(path, Digest("git", digest), None if size == "-" else int(size))
