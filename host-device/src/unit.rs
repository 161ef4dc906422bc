//! The unit file (`otscert_host::unit`): what the factory wrote into this unit alone, so that one image fits all.
//!
//! What is secret in it never leaves the box (docs/PROTOCOL.md, "credential"), so a file that holds a secret or a code
//! belongs to the program's user alone.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use otscert_host::toml::TomlError;
use otscert_host::unit::{UnitText, UnitTextError};
use zeroize::Zeroizing;

use crate::types::{ClaimCode, UnitCredential, UnitSecret};

/// Why a unit file is not used: the factory's or the image's doing, never the owner's.
#[derive(Debug, thiserror::Error)]
pub enum UnitFileError {
    /// It is there and cannot be read.
    #[error("reading the unit file {} failed: `unit` names it", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Others could read the secret in it.
    #[error(
        "the unit file {} holds a secret and has mode {mode:04o}, so others could read it: chmod 600 it, and let it \
         belong to the user that runs otscert-device",
        path.display()
    )]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It does not parse.
    #[error("the unit file {} is not what the factory should have written: {error}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why, without what the file holds.
        error: TomlError,
    },
    /// A field does not hold what it should.
    #[error("the unit file {}: `{field}` {problem}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The field.
        field: &'static str,
        /// What is expected, without what the file holds.
        problem: String,
    },
}

/// Reads a unit file; none where there is no such file.
///
/// # Errors
///
/// [`UnitFileError`] names the line or the field and what is expected, and repeats no secret.
pub fn read(path: &Path) -> Result<Option<UnitCredential>, UnitFileError> {
    let failed = |source| UnitFileError::Read {
        path: path.to_owned(),
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    let mut text = Zeroizing::new(String::with_capacity(MAX_FILE));
    let limit = u64::try_from(MAX_FILE).unwrap_or(u64::MAX);
    file.take(limit).read_to_string(&mut text).map_err(failed)?;
    let unit = UnitText::parse(&text).map_err(|error| match error {
        UnitTextError::Syntax(error) => UnitFileError::Syntax {
            path: path.to_owned(),
            error,
        },
        UnitTextError::Field { field, problem } => wrong(path, field, problem),
    })?;
    if mode & 0o077 != 0 && (unit.secret.is_some() || unit.claim_code.is_some()) {
        return Err(UnitFileError::Mode {
            path: path.to_owned(),
            mode,
        });
    }
    let code = unit.claim_code.map(|text| ClaimCode::from_text(&text));
    let claim_code = code
        .map(|code| code.ok_or_else(|| wrong(path, "claim_code", CODE.to_owned())))
        .transpose()?;
    Ok(Some(UnitCredential {
        claim_code,
        serial: unit.serial,
        secret: unit
            .secret
            .map(|(epoch, secret)| UnitSecret { epoch, secret }),
    }))
}

fn wrong(path: &Path, field: &'static str, problem: String) -> UnitFileError {
    UnitFileError::Field {
        path: path.to_owned(),
        field,
        problem,
    }
}

/// What a unit has, for people: never the secret nor the code.
impl fmt::Display for UnitCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let serial = self.serial.as_deref().unwrap_or("no serial");
        write!(f, "{serial}")?;
        if let Some(unit) = &self.secret {
            write!(f, ", secret of epoch {}", unit.epoch)?;
        }
        if self.claim_code.is_some() {
            f.write_str(", claim code")?;
        }
        Ok(())
    }
}

const CODE: &str = "must be the code as it is on the label";
const MAX_FILE: usize = 4096;

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_unit_file_is_read_and_shows_no_secret() {
        let (_folder, path) = file(&format!(
            "serial = \"SN-1\"\nepoch = 7\nsecret = \"{SECRET}\"\nclaim_code = \"7k3m-{SECRET}\"\n"
        ));
        let unit = read(&path).unwrap().unwrap();
        assert_eq!(unit.serial.as_deref(), Some("SN-1"));
        let secret = unit.secret.as_ref().unwrap();
        assert_eq!((secret.epoch, secret.secret.len()), (7, 16));
        assert_eq!(unit.to_string(), "SN-1, secret of epoch 7, claim code");
        let shown = format!("{unit:?}");
        assert!(!shown.contains(SECRET) && !shown.contains("170"), "{shown}");
    }

    #[test]
    fn every_part_of_it_is_optional_and_no_file_is_none() {
        let (folder, path) = file("");
        let unit = read(&path).unwrap().unwrap();
        assert!(unit.serial.is_none() && unit.secret.is_none() && unit.claim_code.is_none());
        assert_eq!(unit.to_string(), "no serial");
        assert!(read(&folder.path().join("none")).unwrap().is_none());
    }

    #[test]
    fn what_is_wrong_is_named_without_the_secret() {
        let secret = format!("secret = \"{SECRET}\"\n");
        for (text, expected) in [
            (
                "serial = \"\"",
                "`serial` must be 1 to 64 printable ASCII".to_owned(),
            ),
            ("serial = \"é\"", "`serial` must be".to_owned()),
            (
                "serial = \"S\"\nepoch = 1",
                "`secret` is missing: an epoch".to_owned(),
            ),
            (&secret, "`epoch` is missing: a secret".to_owned()),
            (
                &format!("epoch = 1\n{secret}"),
                "`serial` is missing: HQ finds".to_owned(),
            ),
            (
                "serial = \"S\"\nepoch = 1\nsecret = \"qqqq\"",
                "`secret` must be 16 to 64 bytes in base64url".to_owned(),
            ),
            (
                &format!("serial = \"S\"\nepoch = 1\nsecret = \"{SECRET}==\""),
                "`secret` must be 16 to 64 bytes in base64url".to_owned(),
            ),
            (
                &format!("claim_code = \"{}\"", SECRET.repeat(4)),
                "`claim_code` must be the code".to_owned(),
            ),
            (
                &format!("serial = \"S\"\nepoch = \"{SECRET}\""),
                "line 2: invalid type, expected u32".to_owned(),
            ),
            (
                &format!("serial = \"S\"\nsecrte = \"{SECRET}\""),
                "line 2: unknown key `secrte`; did you mean `secret`?".to_owned(),
            ),
            (
                &format!("serial = \"S\"\nsecret = {SECRET}"),
                "line 2: ".to_owned(),
            ),
        ] {
            let (_folder, path) = file(text);
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains(&expected), "{text}: {error}");
            assert!(error.contains(&path.display().to_string()), "{error}");
            assert!(!error.contains(SECRET), "{error}");
        }
    }

    #[test]
    fn others_may_read_a_serial_and_nothing_that_is_secret() {
        let (_folder, path) = file("serial = \"SN-1\"\n");
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert!(read(&path).unwrap().is_some());
        for text in [
            format!("serial = \"SN-1\"\nepoch = 1\nsecret = \"{SECRET}\"\n"),
            format!("claim_code = \"{SECRET}\"\n"),
        ] {
            let (_folder, path) = file(&text);
            fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(
                error.contains("mode 0640") && error.contains("chmod 600"),
                "{error}"
            );
        }
    }

    fn file(text: &str) -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("unit.toml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        (folder, path)
    }

    /// 16 bytes of 170.
    const SECRET: &str = "qqqqqqqqqqqqqqqqqqqqqg";
}
