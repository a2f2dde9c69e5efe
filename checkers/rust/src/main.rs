//! A second checker of netproof's certificates about float networks.
//!
//! Written from docs/certificates.md alone, in another language than the first, in exact arithmetic throughout, and without any
//! library. Knows fully connected networks and the claim `unsat`.
//!
//!     netproof-second-checker CERTIFICATE NETWORK PROPERTY
//!
//! Exits with 0 where the claim is proved, 1 where it is not, 2 where the files cannot be used.

mod bound;
mod check;
mod file;
mod network;
mod number;
mod property;

fn usable(paths: &[String]) -> Result<(file::Certificate, bound::Evaluation, property::Asked), String> {
    let [certificate, network, asked] = paths else {
        return Err("usage: netproof-second-checker CERTIFICATE NETWORK PROPERTY".into());
    };
    let named = |path: &str| {
        let path = path.to_string();
        move |problem: String| format!("{path} {problem}")
    };
    let read = file::Certificate::parse(&file::read(certificate)?).map_err(named(certificate))?;
    let (network_data, property_data) = (file::read(network)?, file::read(asked)?);
    for (what, data, stated) in [("network", &network_data, &read.network), ("property", &property_data, &read.property)] {
        let found = file::sha256(data);
        if found != *stated {
            return Err(format!("{certificate} is about the {what} with SHA-256 {stated}, the one given has {found}"));
        }
    }
    if read.claim != "unsat" {
        return Err(format!("{certificate} claims '{}', and this checker knows 'unsat'", read.claim));
    }
    let asked = property::read(&property_data).map_err(named("the property has"))?;
    let network = network::read(&network_data, asked.inputs).map_err(named("the network:"))?;
    let outputs = network.sizes.last().copied().unwrap_or(0);
    if outputs != asked.outputs || (read.inputs, read.outputs) != (asked.inputs, asked.outputs) {
        return Err("the property is about a network of another size".into());
    }
    Ok((read, bound::Evaluation { network }, asked))
}

fn main() {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let (certificate, evaluation, asked) = match usable(&paths) {
        Ok(found) => found,
        Err(problem) => {
            eprintln!("{}", problem.replace(|c: char| c.is_control(), " "));
            std::process::exit(2);
        }
    };
    let mut checker = match check::Checker::new(&certificate, evaluation) {
        Ok(checker) => checker,
        Err(problem) => {
            println!("NOT PROVED: {problem}");
            std::process::exit(1);
        }
    };
    match checker.prove(&asked) {
        Ok(()) => println!("PROVED: unsat ({} leaves, {} splits, in exact arithmetic)", checker.leaves, checker.splits),
        Err(problem) => {
            println!("NOT PROVED: {problem}");
            std::process::exit(1);
        }
    }
}
