//! One call of the registrar: what it read, what it wants written, what it submits.
//!
//! Reads are noted with the version found; writes wait in an overlay; no lock is held while the guest runs. The
//! committer checks the versions again and applies the rest, or the call runs once more on fresh reads.

use std::collections::BTreeMap;
use std::fmt::Debug;

use crate::host::network::SubmitError;
use crate::store::{StoreError, Version};
use crate::types::{Exchange, Operation, RecordKey, Timestamp};

/// Where a call's reads come from.
pub trait Records: Debug + Send {
    /// The record under `key` that has not expired at `now`, and its version.
    ///
    /// # Errors
    ///
    /// If the database fails.
    fn read(
        &mut self,
        key: &RecordKey,
        now: Timestamp,
    ) -> Result<Option<(Vec<u8>, Version)>, StoreError>;
}

/// A bound on what one call may do. A component that meets one is at fault, or is attacked successfully.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallLimit {
    /// Too many keys read.
    #[error("one call reads more than {MAX_READS} records")]
    Reads,
    /// Too many keys written.
    #[error("one call writes more than {MAX_WRITES} records")]
    Writes,
    /// Too many submissions.
    #[error("one call submits more than {MAX_SUBMISSIONS} exchanges")]
    Submissions,
    /// A submission is too large.
    #[error("a submission takes more than {MAX_SUBMISSION_BYTES} bytes")]
    SubmissionBytes,
}

/// Why a read failed, as the guest may know it.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The call reads too much.
    #[error(transparent)]
    Limit(#[from] CallLimit),
    /// The database failed; the call keeps the cause.
    #[error("the database failed")]
    Store,
}

/// A change of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Puts a value.
    Put {
        /// The value.
        value: Vec<u8>,
        /// From then on it reads as absent.
        expires: Option<Timestamp>,
    },
    /// Removes it.
    Remove,
}

/// An exchange to be put into the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// Its name.
    pub exchange: Exchange,
    /// What is to be done.
    pub operation: Operation,
    /// The operation as the outbox stores it.
    pub request: String,
}

/// A call under way.
#[derive(Debug)]
pub struct Call {
    records: Box<dyn Records>,
    now: Timestamp,
    reads: BTreeMap<RecordKey, Read>,
    changes: BTreeMap<RecordKey, Change>,
    submissions: Vec<Submission>,
    failure: Option<StoreError>,
}

/// What a call leaves behind, once the guest has returned.
#[derive(Debug)]
pub struct CallEffects {
    /// The call's time, by which expiry is judged.
    pub now: Timestamp,
    /// Keys read, each with the version found.
    pub reads: BTreeMap<RecordKey, Version>,
    /// Records to change.
    pub changes: BTreeMap<RecordKey, Change>,
    /// Exchanges to put into the outbox.
    pub submissions: Vec<Submission>,
}

#[derive(Debug)]
struct Read {
    value: Option<Vec<u8>>,
    version: Version,
}

impl Call {
    /// A call that reads from `records` at the time `now`.
    #[must_use]
    pub fn new(records: Box<dyn Records>, now: Timestamp) -> Self {
        Self {
            records,
            now,
            reads: BTreeMap::new(),
            changes: BTreeMap::new(),
            submissions: Vec::new(),
            failure: None,
        }
    }

    /// The value under a key, as this call sees it: its own writes first. A key is read from the database once, so
    /// that a call never sees two versions of one record.
    ///
    /// # Errors
    ///
    /// If the call reads too much or the database fails.
    pub fn read(&mut self, key: &RecordKey) -> Result<Option<Vec<u8>>, ReadError> {
        match self.changes.get(key) {
            Some(Change::Put { value, expires }) => {
                return Ok(expires
                    .is_none_or(|expires| expires > self.now)
                    .then(|| value.clone()));
            }
            Some(Change::Remove) => return Ok(None),
            None => {}
        }
        if let Some(read) = self.reads.get(key) {
            return Ok(read.value.clone());
        }
        if self.reads.len() >= MAX_READS {
            return Err(CallLimit::Reads.into());
        }
        let (value, version) = match self.records.read(key, self.now) {
            Ok(Some((value, version))) => (Some(value), version),
            Ok(None) => (None, Version::ABSENT),
            Err(error) => {
                self.failure = Some(error);
                return Err(ReadError::Store);
            }
        };
        self.reads.insert(
            key.clone(),
            Read {
                value: value.clone(),
                version,
            },
        );
        Ok(value)
    }

    /// Puts a value under a key when the call is committed.
    ///
    /// # Errors
    ///
    /// If the call writes too much.
    pub fn write(
        &mut self,
        key: RecordKey,
        value: Vec<u8>,
        expires: Option<Timestamp>,
    ) -> Result<(), CallLimit> {
        self.change(key, Change::Put { value, expires })
    }

    /// Removes a key when the call is committed.
    ///
    /// # Errors
    ///
    /// If the call writes too much.
    pub fn remove(&mut self, key: RecordKey) -> Result<(), CallLimit> {
        self.change(key, Change::Remove)
    }

    /// Puts an operation into the outbox when the call is committed.
    ///
    /// # Errors
    ///
    /// If the call submits too much. Submitting an exchange again is no error: the first submission stands.
    pub fn submit(&mut self, exchange: Exchange, operation: Operation) -> Result<(), SubmitError> {
        if self
            .submissions
            .iter()
            .any(|submission| submission.exchange == exchange)
        {
            return Ok(());
        }
        if self.submissions.len() >= MAX_SUBMISSIONS {
            return Err(CallLimit::Submissions.into());
        }
        // Unwrap safety: the operation's types have string keys only, the one thing that JSON could refuse.
        let request = serde_json::to_string(&operation).expect("an operation is JSON");
        if request.len() > MAX_SUBMISSION_BYTES {
            return Err(CallLimit::SubmissionBytes.into());
        }
        self.submissions.push(Submission {
            exchange,
            operation,
            request,
        });
        Ok(())
    }

    /// Ends the call.
    ///
    /// # Errors
    ///
    /// If a read failed meanwhile: whatever the guest decided, it decided without that record.
    pub fn finish(self) -> Result<CallEffects, StoreError> {
        match self.failure {
            Some(error) => Err(error),
            None => Ok(CallEffects {
                now: self.now,
                reads: self
                    .reads
                    .into_iter()
                    .map(|(key, read)| (key, read.version))
                    .collect(),
                changes: self.changes,
                submissions: self.submissions,
            }),
        }
    }

    fn change(&mut self, key: RecordKey, change: Change) -> Result<(), CallLimit> {
        if self.changes.len() >= MAX_WRITES && !self.changes.contains_key(&key) {
            return Err(CallLimit::Writes);
        }
        self.changes.insert(key, change);
        Ok(())
    }
}

/// DESIGN 2.1: 16 keys a round and 3 rounds, and some room.
const MAX_READS: usize = 64;
const MAX_WRITES: usize = 64;
const MAX_SUBMISSIONS: usize = 32;
/// 64 KiB of bytes as base64url, with the rest of the request.
const MAX_SUBMISSION_BYTES: usize = 96 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{DnsOperation, DnsRecord};

    /// Records that count how often they are asked.
    #[derive(Debug, Default)]
    struct Fixed {
        asked: usize,
    }

    impl Records for Fixed {
        fn read(
            &mut self,
            key: &RecordKey,
            _: Timestamp,
        ) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
            self.asked += 1;
            assert_eq!(self.asked, 1, "{key} is read again");
            Ok(Some((b"stored".to_vec(), Version::from_raw(7))))
        }
    }

    fn key(text: &str) -> RecordKey {
        RecordKey::try_from(text.to_owned()).unwrap()
    }

    fn call() -> Call {
        Call::new(Box::new(Fixed::default()), Timestamp::from_millis(1_000))
    }

    #[test]
    fn a_key_is_read_from_the_database_once_and_its_version_is_noted() {
        let mut call = call();
        assert_eq!(call.read(&key("a")).unwrap().unwrap(), b"stored");
        assert_eq!(call.read(&key("a")).unwrap().unwrap(), b"stored");
        let effects = call.finish().unwrap();
        assert_eq!(
            effects.reads,
            BTreeMap::from([(key("a"), Version::from_raw(7))])
        );
        assert!(effects.changes.is_empty());
    }

    #[test]
    fn a_call_sees_its_own_writes_and_removals() {
        let mut call = call();
        call.write(key("a"), b"mine".to_vec(), None).unwrap();
        assert_eq!(call.read(&key("a")).unwrap().unwrap(), b"mine");
        call.write(
            key("a"),
            b"gone".to_vec(),
            Some(Timestamp::from_millis(1_000)),
        )
        .unwrap();
        assert_eq!(
            call.read(&key("a")).unwrap(),
            None,
            "expired at its own time"
        );
        call.remove(key("a")).unwrap();
        assert_eq!(call.read(&key("a")).unwrap(), None);
        let effects = call.finish().unwrap();
        assert!(
            effects.reads.is_empty(),
            "nothing was read from the database"
        );
        assert_eq!(effects.changes[&key("a")], Change::Remove);
    }

    #[test]
    fn the_first_submission_of_an_exchange_stands() {
        let mut call = call();
        let exchange = Exchange {
            subject: "own".parse().unwrap(),
            number: 1,
        };
        let label =
            |label: &str| Operation::Dns(DnsOperation::Publish(DnsRecord::Label(label.to_owned())));
        call.submit(exchange.clone(), label("a")).unwrap();
        call.submit(exchange, label("b")).unwrap();
        let effects = call.finish().unwrap();
        assert_eq!(effects.submissions.len(), 1);
        assert_eq!(effects.submissions[0].operation, label("a"));
    }

    #[test]
    fn every_bound_of_a_call_is_a_refusal_and_not_an_end() {
        let mut call = call();
        for number in 0..MAX_WRITES {
            call.write(key(&format!("w/{number}")), Vec::new(), None)
                .unwrap();
        }
        assert_eq!(call.remove(key("one-more")), Err(CallLimit::Writes));
        call.write(key("w/0"), b"again".to_vec(), None).unwrap();
        let operation = Operation::Dns(DnsOperation::Publish(DnsRecord::Label(
            "x".repeat(MAX_SUBMISSION_BYTES),
        )));
        let exchange = Exchange {
            subject: "own".parse().unwrap(),
            number: 1,
        };
        assert!(matches!(
            call.submit(exchange, operation),
            Err(SubmitError::Limit(CallLimit::SubmissionBytes))
        ));
        assert!(call.finish().is_ok());
    }

    #[test]
    fn a_call_with_a_failed_read_fails_whatever_the_guest_made_of_it() {
        #[derive(Debug)]
        struct Broken;
        impl Records for Broken {
            fn read(
                &mut self,
                _: &RecordKey,
                _: Timestamp,
            ) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
                Err(StoreError::Stopped)
            }
        }
        let mut call = Call::new(Box::new(Broken), Timestamp::from_millis(0));
        assert!(matches!(call.read(&key("a")), Err(ReadError::Store)));
        assert!(matches!(call.finish(), Err(StoreError::Stopped)));
    }
}
