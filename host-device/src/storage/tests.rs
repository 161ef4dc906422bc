//! A disk that forgets what was not synced, stopped after every step.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::{fs, io};

use proptest::prelude::*;

use super::*;

#[test]
fn a_power_cut_at_any_step_leaves_the_old_or_the_new_bytes_and_after_return_the_new() {
    let steps = {
        let disk = Disk::with_record("old");
        write(&disk, "new").unwrap();
        disk.steps()
    };
    assert!(
        steps >= 4,
        "a write is at least create, sync, rename, sync folder; got {steps}"
    );
    let (mut olds, mut news) = (0, 0);
    for stop in 0..=steps {
        for fate in Fate::ALL {
            let disk = Disk::with_record("old");
            disk.stop_after(stop);
            let returned = write(&disk, "new").is_ok();
            disk.power_cut(fate);
            let store =
                FolderStore::open_unlocked(Box::new(disk.clone()), Path::new("/s")).unwrap();
            let found = store
                .read(&key())
                .unwrap()
                .expect("the record is never lost");
            match found.as_slice() {
                b"new" => news += 1,
                b"old" if !returned => olds += 1,
                other => panic!("stop {stop}, {fate:?}, returned {returned}: {other:?}"),
            }
            assert_eq!(disk.names(), 1, "no leftover survives an opening");
        }
    }
    assert!(
        olds > 0 && news > 0,
        "the cut fell on one side only: {olds} old, {news} new"
    );
}

#[test]
fn a_removal_is_durable_when_it_returns() {
    let disk = Disk::with_record("old");
    open(&disk).remove(&key()).unwrap();
    disk.power_cut(Fate::Forgotten);
    assert_eq!(open(&disk).read(&key()).unwrap(), None);
    open(&disk).remove(&key()).unwrap();
}

#[test]
fn a_full_disk_keeps_the_old_bytes_and_leaves_nothing_beside() {
    let disk = Disk::with_record("old");
    disk.room(2);
    let error = write(&disk, "a longer value").unwrap_err();
    assert!(matches!(error, StorageError::Full { .. }), "{error:?}");
    assert!(error.to_string().contains("free some space"), "{error}");
    assert_eq!(open(&disk).read(&key()).unwrap().unwrap(), b"old");
    assert_eq!(disk.names(), 1);
}

#[test]
fn the_real_folder_is_private_and_keeps_records_over_openings() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    {
        let store = FolderStore::open(&path).unwrap();
        store.write(&key(), b"one").unwrap();
        store.write(&key(), b"two").unwrap();
    }
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&path.join("records")), 0o700);
    assert_eq!(mode(&path.join("records/a.b.record")), 0o600);
    let store = FolderStore::open(&path).unwrap();
    assert_eq!(store.read(&key()).unwrap().unwrap(), b"two");
    assert_eq!(store.read(&Key::parse("missing").unwrap()).unwrap(), None);
}

#[test]
fn a_record_set_aside_is_gone_for_the_machine_and_kept_for_people() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderStore::open(folder.path()).unwrap();
    assert_eq!(store.set_aside(&key(), "then").unwrap(), None);
    let mut kept = Vec::new();
    for content in ["one", "two", "three"] {
        // A clock that stands still makes no two of them one.
        store.write(&key(), content.as_bytes()).unwrap();
        let path = store.set_aside(&key(), "then").unwrap().unwrap();
        assert_eq!(store.read(&key()).unwrap(), None);
        assert_eq!(fs::read(&path).unwrap(), content.as_bytes());
        assert!(!kept.contains(&path), "{kept:?}");
        kept.push(path);
    }
    drop(store);
    let _opened = FolderStore::open(folder.path()).unwrap();
    assert!(kept.iter().all(|path| path.exists()), "{kept:?}");
    let damaged = folder.path().join("damaged");
    assert_eq!(
        fs::metadata(&damaged).unwrap().permissions().mode() & 0o777,
        0o700
    );
}

#[test]
fn leftovers_of_interrupted_writes_are_removed_at_the_next_opening() {
    let folder = tempfile::tempdir().unwrap();
    drop(FolderStore::open(folder.path()).unwrap());
    let leftover = folder.path().join("records/a.b.new");
    fs::write(&leftover, "half").unwrap();
    let store = FolderStore::open(folder.path()).unwrap();
    assert!(!leftover.exists());
    assert_eq!(store.read(&key()).unwrap(), None);
}

#[test]
fn a_second_opening_is_refused_until_the_first_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let first = FolderStore::open(folder.path()).unwrap();
    let error = FolderStore::open(folder.path()).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .contains("in use by another otscert-device"),
        "{error}"
    );
    drop(first);
    FolderStore::open(folder.path()).unwrap();
}

#[test]
fn keys_outside_the_alphabet_are_refused() {
    for text in [
        "",
        "A",
        "a.b",
        "a b",
        "../etc",
        "a\0",
        "ä",
        &"a".repeat(MAX_KEY + 1),
    ] {
        assert!(
            matches!(Key::parse(text), Err(StorageError::BadKey)),
            "{text:?}"
        );
    }
    for text in [
        "a",
        "/",
        "//",
        "-",
        "device/identity_key-1",
        &"a".repeat(MAX_KEY),
    ] {
        Key::parse(text).unwrap();
    }
}

#[test]
fn too_large_a_value_and_too_many_records_are_refused() {
    let disk = Disk::default();
    let store = open(&disk);
    let error = store.write(&key(), &vec![0; MAX_VALUE + 1]).unwrap_err();
    assert!(
        matches!(error, StorageError::TooLarge { got, .. } if got == MAX_VALUE + 1),
        "{error:?}"
    );
    store.write(&key(), &vec![0; MAX_VALUE]).unwrap();
    for number in 1..MAX_RECORDS {
        store
            .write(&Key::parse(&number.to_string()).unwrap(), b"")
            .unwrap();
    }
    let error = store
        .write(&Key::parse("one-more").unwrap(), b"")
        .unwrap_err();
    assert!(matches!(error, StorageError::Full { .. }), "{error:?}");
    store
        .write(&key(), b"what is there can still change")
        .unwrap();
}

proptest! {
    #[test]
    fn no_two_keys_share_a_file(one in "[a-z0-9/_-]{1,12}", two in "[a-z0-9/_-]{1,12}") {
        let store = open(&Disk::default());
        store.write(&Key::parse(&one).unwrap(), b"one").unwrap();
        store.write(&Key::parse(&two).unwrap(), b"two").unwrap();
        let expected: &[u8] = if one == two { b"two" } else { b"one" };
        prop_assert_eq!(store.read(&Key::parse(&one).unwrap()).unwrap().unwrap(), expected);
    }
}

fn key() -> Key {
    Key::parse("a/b").unwrap()
}

fn open(disk: &Disk) -> FolderStore {
    FolderStore::open_unlocked(Box::new(disk.clone()), Path::new("/s")).unwrap()
}

fn write(disk: &Disk, value: &str) -> Result<(), StorageError> {
    // Not `open`: opening takes steps of its own, and the test counts those of the write.
    disk.opened().write(&key(), value.as_bytes())
}

/// What becomes of what was not synced when the power goes.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// All of it is lost.
    Forgotten,
    /// Names are there, the bytes behind them are not.
    NamesOnly,
    /// Names are there, half of the bytes.
    Torn,
    /// All of it is there.
    Kept,
}

impl Fate {
    const ALL: [Self; 4] = [Self::Forgotten, Self::NamesOnly, Self::Torn, Self::Kept];
}

/// A disk in memory: what is seen, what is durable.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<Platters>>);

#[derive(Default)]
struct Platters {
    /// Names as seen, each with the number of its file.
    seen: BTreeMap<PathBuf, usize>,
    /// Names as they stand after a power cut.
    durable: BTreeMap<PathBuf, usize>,
    /// Bytes as seen, and as synced.
    files: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    steps: usize,
    stop_after: Option<usize>,
    room: Option<usize>,
}

impl Disk {
    fn with_record(value: &str) -> Self {
        let disk = Self::default();
        open(&disk).write(&key(), value.as_bytes()).unwrap();
        disk
    }

    fn opened(&self) -> FolderStore {
        let steps = std::mem::take(&mut self.0.lock().unwrap().stop_after);
        let store = open(self);
        let mut platters = self.0.lock().unwrap();
        platters.steps = 0;
        platters.stop_after = steps;
        drop(platters);
        store
    }

    fn steps(&self) -> usize {
        self.0.lock().unwrap().steps
    }

    fn stop_after(&self, steps: usize) {
        self.0.lock().unwrap().stop_after = Some(steps);
    }

    fn room(&self, bytes: usize) {
        self.0.lock().unwrap().room = Some(bytes);
    }

    fn names(&self) -> usize {
        self.0.lock().unwrap().seen.len()
    }

    fn power_cut(&self, fate: Fate) {
        let mut platters = self.0.lock().unwrap();
        if !matches!(fate, Fate::Forgotten) {
            platters.durable = platters.seen.clone();
        }
        platters.seen = platters.durable.clone();
        for (bytes, synced) in &mut platters.files {
            let survived = match (&*synced, fate) {
                (Some(synced), Fate::Forgotten | Fate::NamesOnly | Fate::Torn) => synced.clone(),
                (None, Fate::Forgotten | Fate::NamesOnly) => Vec::new(),
                (None, Fate::Torn) => bytes[..bytes.len() / 2].to_vec(),
                (_, Fate::Kept) => bytes.clone(),
            };
            *bytes = survived.clone();
            *synced = Some(survived);
        }
        platters.stop_after = None;
        platters.room = None;
    }

    /// Does one step, unless the power has gone.
    fn step<T>(&self, act: impl FnOnce(&mut Platters) -> io::Result<T>) -> io::Result<T> {
        let mut platters = self.0.lock().unwrap();
        if platters
            .stop_after
            .is_some_and(|stop| platters.steps >= stop)
        {
            return Err(io::Error::other("the power has gone"));
        }
        platters.steps += 1;
        act(&mut platters)
    }
}

impl Files for Disk {
    fn read(&self, path: &Path, _limit: usize) -> io::Result<Option<Vec<u8>>> {
        let platters = self.0.lock().unwrap();
        Ok(platters
            .seen
            .get(path)
            .map(|file| platters.files[*file].0.clone()))
    }

    fn create(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.step(|platters| {
            let room = platters.room.unwrap_or(usize::MAX);
            let file = platters.files.len();
            platters
                .files
                .push((bytes[..bytes.len().min(room)].to_vec(), None));
            platters.seen.insert(path.to_owned(), file);
            if bytes.len() > room {
                Err(io::ErrorKind::StorageFull.into())
            } else {
                Ok(())
            }
        })
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        self.step(|platters| {
            let file = platters.seen[path];
            let (bytes, synced) = &mut platters.files[file];
            *synced = Some(bytes.clone());
            Ok(())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(|platters| {
            let file = platters.seen.remove(from).ok_or(io::ErrorKind::NotFound)?;
            platters.seen.insert(to.to_owned(), file);
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step(|platters| {
            platters.seen.remove(path);
            Ok(())
        })
    }

    fn sync_folder(&self, _folder: &Path) -> io::Result<()> {
        self.step(|platters| {
            platters.durable = platters.seen.clone();
            Ok(())
        })
    }

    fn list(&self, _folder: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(self.0.lock().unwrap().seen.keys().cloned().collect())
    }

    fn create_folder(&self, _folder: &Path) -> io::Result<()> {
        Ok(())
    }
}
