//! `assessment sign`: HQ's word on what the clock of a kind of board is worth.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use otscert_assess::report::{Report, ReportError};
use otscert_host::files;

use super::{AssessmentSignArgs, CliError, Verdict};
use crate::config::{CheckedDelegation, Config, KeyError, Seed};
use crate::init::ceremony::{self, AssessmentRefused};

/// Why an assessment was not signed. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum AssessmentError {
    /// A key file.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The judged file cannot be read.
    #[error("{} cannot be read: name the file that `otscert-device assess judge` wrote", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The judged file is none.
    #[error("{} cannot be signed", path.display())]
    Report {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: ReportError,
    },
    /// It was judged with `--danger` flags.
    #[error(
        "{} is for a trial only and was not signed: {}. Judge again without --danger flags. (--danger-overridden signs it \
         all the same, for boxes that nobody relies on.)",
        path.display(),
        overridden.join("; ")
    )]
    Overridden {
        /// The file.
        path: PathBuf,
        /// What was overridden.
        overridden: Vec<String>,
    },
    /// A box would not take it.
    #[error("{} was not signed: boxes would refuse it", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// What the boxes' own reader says.
        #[source]
        source: AssessmentRefused,
    },
    /// The signed file cannot be written.
    #[error("{} cannot be written: check its folder, owner and disk", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Signs a judged file with the protocol key.
pub(super) fn sign(
    config: &Config,
    args: &AssessmentSignArgs,
    out: &mut dyn Write,
) -> Result<Verdict, CliError> {
    let (report, path) = signed(config, args)?;
    for line in &report.table {
        writeln!(out, "{line}")?;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    writeln!(
        out,
        "\nSigned: {}. Boxes of {} believe that a delta of assessment {} has {} thousandths of a bit or more.",
        path.display(),
        report.models.join(", "),
        report.id,
        report.min_entropy
    )?;
    writeln!(
        out,
        "Next: copy it into the image bundle's folder, add it to bundle.toml, and name it in the firmware's config:\n  \
         bundle.toml   assessments = [\"{name}\"]\n  device.toml   platform = \"{}\"",
        report.id
    )?;
    Ok(Verdict::Well)
}

fn signed(
    config: &Config,
    args: &AssessmentSignArgs,
) -> Result<(Report, PathBuf), AssessmentError> {
    let report = read(&args.file)?;
    if !report.overridden.is_empty() && !args.danger_overridden {
        return Err(AssessmentError::Overridden {
            path: args.file.clone(),
            overridden: report.overridden,
        });
    }
    let (hq_id, keys) = (&config.hq_id, &config.keys);
    let key = Seed::read("keys.signing_key", &keys.signing_key)?;
    let delegation = CheckedDelegation::read(&keys.delegation, hq_id, &key, &keys.roots)?;
    let signed = ceremony::assessment(hq_id, &keys.roots, &key, &delegation.bytes, &report);
    let signed = signed.map_err(|source| AssessmentError::Refused {
        path: args.file.clone(),
        source,
    })?;
    let path = match &args.out {
        Some(path) => path.clone(),
        None => args.file.with_extension("signed.json"),
    };
    match files::replace(&path, &signed) {
        Ok(()) => Ok((report, path)),
        Err(source) => Err(AssessmentError::Write { path, source }),
    }
}

fn read(path: &Path) -> Result<Report, AssessmentError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes))
        .map_err(|source| AssessmentError::Read {
            path: path.to_owned(),
            source,
        })?;
    Report::parse(&bytes).map_err(|source| AssessmentError::Report {
        path: path.to_owned(),
        source,
    })
}

const MAX_FILE: u64 = 256 * 1024;
