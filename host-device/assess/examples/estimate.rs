//! Prints what each estimator says of a file of 8-bit symbols, to be held against NIST's own tool:
//! `cargo run --release -p otscert-assess --example estimate FILE` beside `ea_non_iid -v FILE`.

use std::io::{Error, Write, stdout};
use std::{env, fs};

use otscert_assess::estimate::{Estimator, Initial, Symbols};

fn main() -> Result<(), Error> {
    let path = env::args_os()
        .nth(1)
        .ok_or_else(|| Error::other("name a file of one symbol a byte"))?;
    let symbols = Symbols::new(fs::read(path)?);
    let initial = Initial::of(&symbols);
    let mut out = stdout().lock();
    writeln!(
        out,
        "{} symbols, {} different, {} bits",
        symbols.len(),
        symbols.alphabet(),
        symbols.width()
    )?;
    for estimator in Estimator::ALL {
        let tell = |bits: Option<f64>| bits.map_or("-".to_owned(), |bits| format!("{bits:.9}"));
        let of_bits = initial.bitstring.as_ref();
        writeln!(
            out,
            "{:<12} literal {:>12}  bitstring {:>12}",
            estimator.name(),
            tell(initial.original.by(estimator)),
            tell(of_bits.and_then(|bits| bits.by(estimator)))
        )?;
    }
    writeln!(out, "min entropy {:.9}", initial.least())
}
