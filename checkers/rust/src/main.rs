//! A second checker of netproof's certificates.
//!
//! Written from docs/certificates.md alone, in another language than the first, in exact arithmetic throughout, and without any
//! library. Knows fully connected networks: of integers, and of real numbers by the claim `unsat`.
//!
//!     netproof-second-checker CERTIFICATE NETWORK [PROPERTY]
//!
//! The property is that of a network of real numbers. Exits with 0 where the claim is proved, 1 where it is not, 2 where the files
//! cannot be used.

mod bound;
mod check;
mod file;
mod integer;
mod json;
mod network;
mod number;
mod pairs;
mod property;

use file::{Certificate, Stated};

/// What was found: what is proved, or why it is not; errors are files that cannot be used.
type Found = Result<Result<String, String>, String>;

fn hashed(what: &str, data: &[u8], stated: &str) -> Result<(), String> {
    let found = file::sha256(data);
    if found != stated {
        return Err(format!("the certificate is about the {what} with SHA-256 {stated}, the one given has {found}"));
    }
    Ok(())
}

fn real(read: &Certificate, network_data: &[u8], sha256: &str, property: &str) -> Found {
    let property_data = file::read(property)?;
    hashed("property", &property_data, sha256)?;
    if read.claim != "unsat" {
        return Err(format!("the certificate claims '{}', and this checker knows 'unsat' of float networks", read.claim));
    }
    let asked = property::read(&property_data).map_err(|problem| format!("the property has {problem}"))?;
    let network = network::read(network_data, asked.inputs).map_err(|problem| format!("the network: {problem}"))?;
    let outputs = network.sizes.last().copied().unwrap_or(0);
    if outputs != asked.outputs || (read.inputs, read.outputs) != (asked.inputs, asked.outputs) {
        return Err("the property is about a network of another size".into());
    }
    let proof = check::Checker::new(read, bound::Evaluation { network }).and_then(|mut checker| {
        checker.prove(&asked)?;
        Ok(format!("unsat ({} leaves, {} splits, in exact arithmetic)", checker.leaves, checker.splits))
    });
    Ok(proof)
}

fn whole(parts: &[Certificate], network_data: &[u8]) -> Found {
    let mut found = Vec::new();
    for read in parts {
        hashed("network", network_data, &read.network)?;
        if parts.len() > 1 && read.claim != "unsat" {
            return Err("a part of the certificate claims 'sat'".into());
        }
        // A class is one of an image, and what is said of the whole is said of both.
        if !parts[0].is_about_the_class_of(read) {
            return Err("a part of the certificate is about another image or class".into());
        }
        let network = integer::network::read(network_data).map_err(|problem| format!("the network: {problem}"))?;
        let mut checker = integer::check::Checker::new(read, network).map_err(|problem| format!("the certificate {problem}"))?;
        match checker.prove() {
            Ok(()) => found.push(format!("{} ({} leaves, {} cuts, in whole numbers)", read.claim, checker.leaves, checker.cuts)),
            Err(problem) => return Ok(Err(problem)),
        }
    }
    Ok(Ok(found.join("; ")))
}

fn checked(paths: &[String]) -> Found {
    let usage = "usage: netproof-second-checker CERTIFICATE NETWORK [PROPERTY]";
    let (Some(certificate), Some(network), true) = (paths.first(), paths.get(1), paths.len() < 4) else {
        return Err(usage.into());
    };
    let data = file::read(certificate)?;
    let parse = |data: &[u8]| Certificate::parse(data).map_err(|problem| format!("{certificate} {problem}"));
    let network_data = file::read(network)?;
    if let Some(parts) = file::parts(&data).map_err(|problem| format!("{certificate} {problem}"))? {
        let parts = parts.into_iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        return if paths.len() == 2 { whole(&parts, &network_data) } else { Err(usage.into()) };
    }
    let read = parse(&data)?;
    match (&read.stated, paths.get(2)) {
        (Stated::Real { sha256 }, Some(property)) => {
            hashed("network", &network_data, &read.network)?;
            real(&read, &network_data, sha256, property)
        }
        (Stated::Real { .. }, None) => Err("a certificate about a float network needs the property".into()),
        (_, None) => whole(&[read], &network_data),
        (_, Some(_)) => Err("a certificate about a network of integers states its property itself".into()),
    }
}

fn main() {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let (line, code) = match checked(&paths) {
        Ok(Ok(claim)) => (format!("PROVED: {claim}"), 0),
        Ok(Err(problem)) => (format!("NOT PROVED: {problem}"), 1),
        Err(problem) => (problem, 2),
    };
    let line = line.replace(|c: char| c.is_control(), " ");
    if code == 2 {
        eprintln!("{line}");
    } else {
        println!("{line}");
    }
    std::process::exit(code);
}
