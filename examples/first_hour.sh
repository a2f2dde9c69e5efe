#!/bin/sh
# Twenty commands that a newcomer types, on every kind of network and image: each ends in an answer or in one line that helps.
#
#     sh examples/first_hour.sh [FOLDER]     (default: first-hour-output; about a minute)
#
# Set NETPROOF to run another program than "netproof", for instance NETPROOF="python -m netproof".

set -u
out=${1:-first-hour-output}
netproof=${NETPROOF:-netproof}
python=${PYTHON:-python3}
mkdir -p "$out" && cd "$out" || exit 2
number=0

# step CODE COMMAND...: run it, and stop where it does not end with that code
step() {
  wanted=$1
  shift
  number=$((number + 1))
  printf '\n[%d] $ netproof' "$number"
  printf ' %s' "$@"
  printf '\n'
  $netproof "$@"
  code=$?
  if [ "$code" -ne "$wanted" ]; then
    printf 'step %d ended with %d, not with %d\n' "$number" "$code" "$wanted" >&2
    exit 1
  fi
}

# What the commands are about: networks that come with netproof, or are made here, and images in every form.
$python - <<'END' || exit 1
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import netproof
from netproof.formats.images.idx import read_images, read_labels

demo = files("netproof.demo")
for name in ("digits.h5", "digits-images-idx3-ubyte.gz", "digits-labels-idx1-ubyte.gz", "digits-resnet.onnx"):
    Path(name).write_bytes((demo / name).read_bytes())
images, labels = read_images("digits-images-idx3-ubyte.gz"), read_labels("digits-labels-idx1-ubyte.gz")
np.savez("digits.npz", images=images, labels=labels)
Image.fromarray(images[3]).save("two.png")
for index in range(10):
    folder = Path("by-class") / str(labels[index])
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(images[index]).save(folder / f"{index}.png")

# A small float network, trained for a moment on these digits.
torch.manual_seed(0)
module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 24), torch.nn.ReLU(), torch.nn.Linear(24, 10))
x, y = torch.tensor(images[:, None] / 255, dtype=torch.float32), torch.tensor(labels.astype(np.int64))
optimizer = torch.optim.Adam(module.parameters(), 0.01)
for _ in range(150):
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(module(x), y).backward()
    optimizer.step()
netproof.from_torch(module, (1, 1, 8, 8), path="float.onnx")

constants = "".join(f"(declare-const X_{i} Real)\n" for i in range(64)) + "".join(f"(declare-const Y_{i} Real)\n" for i in range(10))
box = "".join(f"(assert (>= X_{i} {v - 0.02}))(assert (<= X_{i} {v + 0.02}))\n" for i, v in enumerate((images[3] / 255).ravel()))
others = " ".join(f"(and (>= Y_{i} Y_{labels[3]}))" for i in range(10) if i != labels[3])
Path("stays-two.vnnlib").write_text(f"{constants}{box}(assert (or {others}))\n")
Path("netproof.toml").write_text(
    '[defaults]\ntimeout = 30\n\n[queries.digits]\nnetwork = "digits.h5"\nimages = "digits.npz"\nindex = [3, 7]\neps = "4/255"\nrequirement = "REQ-1"\n'
)
END

idx="--images digits-images-idx3-ubyte.gz --labels digits-labels-idx1-ubyte.gz"

step 0 --version
step 0 inspect digits.h5
step 0 robust digits.h5 $idx --index 3 --eps 4
step 0 robust digits.h5 $idx --index 3 --eps 16 --picture two-or-one.png --witness witness.json
step 0 check witness.json --network digits.h5
step 0 radius digits.h5 --images two.png --label 2
step 0 robust digits.h5 --images digits.npz --index 3 --eps 4/255 --certificate proof.npcert
step 0 check proof.npcert --network digits.h5
step 2 robust float.onnx --images two.png --eps 2
step 0 robust float.onnx --images two.png --eps 2/255
step 0 robust float.onnx --images by-class --all --eps 2grey --timeout 30
step 0 radius float.onnx --images digits.npz --index 3 --timeout 30
step 0 robust float.onnx --images two.png --eps 0.2 --target 1
step 0 robust float.onnx --images two.png --eps 0.01 --norm l2
step 0 verify float.onnx stays-two.vnnlib --timeout 30
step 0 robust digits.h5 --images digits.npz --index 0 --index 1 --index 2 --index 3 --eps 8 --out run
step 0 report run --out report.html --junit report.xml
step 0 bench watch run --once
step 0 check-all --junit promises.xml
step 1 robust digits.h5 --images digits.npz --index 3 --eps 16 --fail-on vulnerable

printf '\n%d commands, each as expected; what they wrote is in %s\n' "$number" "$(pwd)"
