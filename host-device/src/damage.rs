//! Stored records that the machine cannot read, and the owner's way out.
//!
//! A box never takes a torn record for "nothing there": it would become a stranger to HQ by accident. So it waits and
//! says so, and a person decides to start over. What is damaged is then set aside and kept, since somebody may still
//! read it; what is whole is reset as always.

use std::sync::Arc;

use serde_json::Value;

use crate::board::Board;
use crate::host::Outbox;
use crate::machine::{CallError, Instance, Machine};
use crate::storage::{Key, StorageError};

/// A record that does not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// Its key.
    pub record: &'static str,
    /// What is wrong with it, for people.
    pub reason: String,
}

/// The records of a box, as far as they matter to its owner.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Survey {
    /// Those that do not read.
    pub damaged: Vec<Damaged>,
    /// The names of the certificate, if its record reads.
    pub names: Vec<String>,
}

impl Damaged {
    /// The key under which it is stored.
    ///
    /// # Errors
    ///
    /// Never: the machine's keys are keys.
    pub fn key(&self) -> Result<Key, StorageError> {
        Key::parse(self.record)
    }

    /// What its owner loses by starting over without it.
    #[must_use]
    pub fn loss(&self) -> &'static str {
        match self.record {
            DEVICE => {
                "It is who this box is: its key and its name. The box will be a new one with another name, so that \
                 bookmarks of the old one end. HQ keeps the old name and its certificate until an operator retires \
                 them (`otscert-hq devices retire`): this box cannot ask for it any longer."
            }
            CREDENTIAL => {
                "It is the certificate with its key. The box knows who it is and gives its name up by the reset: HQ \
                 revokes the certificate and frees the name. After that it will be a new box with another name."
            }
            _ => {
                "It is what an earlier reset had still to tell HQ: names that HQ keeps until an operator retires them \
                 (`otscert-hq devices retire`)."
            }
        }
    }
}

impl Survey {
    /// Looks at every record through the component.
    ///
    /// # Errors
    ///
    /// If the component does not even start.
    pub fn of(machine: &Arc<Machine>, board: &Arc<dyn Board>) -> Result<Self, CallError> {
        let mut survey = Self::default();
        let mut instance = Instance::create(
            Arc::clone(machine),
            Arc::clone(board),
            Outbox::default(),
            None,
        )?;
        for record in RECORDS {
            let read = Key::parse(record).and_then(|key| board.records().read(&key));
            let reason = match read {
                Ok(None) => continue,
                Ok(Some(bytes)) => match instance.describe_record(record, &bytes) {
                    Ok(description) => {
                        survey.names.extend(names(&description));
                        continue;
                    }
                    Err(error @ CallError::Gone { .. }) => return Err(error),
                    Err(CallError::Other { reason, .. }) => reason,
                    Err(error) => error.to_string(),
                },
                Err(error) => error.to_string(),
            };
            survey.damaged.push(Damaged { record, reason });
        }
        Ok(survey)
    }

    /// Whether the box has lost who it is.
    #[must_use]
    pub fn is_stranger(&self) -> bool {
        self.damaged.iter().any(|damaged| damaged.record == DEVICE)
    }
}

/// The names that stand in a description, if there are any.
fn names(description: &str) -> Vec<String> {
    let description: Value = serde_json::from_str(description).unwrap_or_default();
    let names = description["content"]["names"].as_array();
    names
        .into_iter()
        .flatten()
        .filter_map(|name| name.as_str().map(ToOwned::to_owned))
        .collect()
}

/// The machine's records (docs/DATA_MODEL.md).
const RECORDS: [&str; 3] = [DEVICE, CREDENTIAL, "retire-outbox"];
const DEVICE: &str = "device";
const CREDENTIAL: &str = "credential";
