//! The adapters to `wasi:random` and `wasi:filesystem`, each by itself.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::ensure;
use otscert_tests::stock::{self, Stock};
use rustls::RootCertStore;
use tempfile::TempDir;
use wasmtime::component::{Component, Linker, Resource};
use wasmtime::{Store, StoreContextMut, bail};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::filesystem::types::{ErrorCode, HostDescriptor};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;

use crate::bindings::entropy::EntropyAdapter;
use crate::bindings::entropy::exports::otscert::provision::entropy::{Error as EntropyError, Kind};
use crate::bindings::part;
use crate::bindings::storage::StorageAdapter;
use crate::bindings::storage::exports::otscert::provision::storage::Error;
use crate::device::{on_a_runtime, trusting, wasi, wide};

#[test]
pub(crate) fn the_runtime_s_generator_is_all_that_is_claimed() {
    on_a_runtime(async {
        let folder = tempfile::tempdir()?;
        let component = part("entropy-wasi");
        let (linker, mut store) = host(&component, folder.path());
        let adapter = EntropyAdapter::instantiate_async(&mut store, &component, &linker);
        let adapter = adapter.await.map_err(wide)?;
        let entropy = adapter.otscert_provision_entropy();
        let sources = entropy.call_sources(&mut store).await.map_err(wide)?;
        let [source] = &sources[..] else {
            anyhow::bail!("{sources:?}");
        };
        ensure!(source.kind == Kind::System, "{source:?}");
        ensure!(source.family == "system" && source.assessment.is_none());
        let mut sample = async |id, len| {
            let sampled = entropy.call_sample(&mut store, id, len).await;
            sampled.map_err(wide)
        };
        let (one, two) = (
            sample(source.id, 64).await?.unwrap(),
            sample(source.id, 64).await?.unwrap(),
        );
        ensure!(one.len() == 64 && two.len() == 64 && one != two);
        ensure!(sample(source.id, u32::MAX).await?.unwrap().len() == 4096);
        ensure!(sample(source.id + 1, 1).await? == Err(EntropyError::NoSuchSource));
        Ok(())
    });
}

#[test]
pub(crate) fn a_write_is_synced_put_in_place_and_made_durable_and_never_read_torn() {
    on_a_runtime(async {
        let medium = Medium::new()?;
        let mut whole = medium.open(None).await?;
        whole.write("device", OLD).await?.unwrap();
        whole.steps.lock().unwrap().clear();
        whole.write("device", NEW).await?.unwrap();
        let steps = whole.steps.lock().unwrap().clone();
        ensure!(
            steps == ["write", "sync", "rename", "sync"],
            "the bytes, then the name: {steps:?}"
        );

        // The power goes before each step, and after the last.
        let mut seen = Vec::new();
        for cut in 0..=steps.len() {
            let medium = Medium::new()?;
            let mut before = medium.open(None).await?;
            before.write("device", OLD).await?.unwrap();
            drop(before);
            let mut cut_off = medium.open(Some(cut)).await?;
            let returned = cut_off.write("device", NEW).await.is_ok();
            ensure!(returned == (cut == steps.len()), "cut at {cut}");
            drop(cut_off);
            let left = medium.files()?;
            let mut after = medium.open(None).await?;
            let read = after.read("device").await?.unwrap();
            ensure!(
                read.as_deref() == Some(OLD) || read.as_deref() == Some(NEW),
                "cut at {cut}: torn"
            );
            ensure!(!returned || read.as_deref() == Some(NEW), "not durable");
            ensure!(medium.files()?.len() == 1, "cut at {cut}: {left:?} is left");
            seen.push((left.len(), read.as_deref() == Some(NEW)));
        }
        ensure!(
            seen == [(2, false), (2, false), (2, false), (1, true), (1, true)],
            "leftovers beside the record, and whether it is the new one: {seen:?}"
        );
        Ok(())
    });
}

#[test]
fn records_outlive_the_instance_and_are_bounded() {
    on_a_runtime(async {
        let medium = Medium::new()?;
        let mut storage = medium.open(None).await?;
        let largest = vec![7; 256 * 1024];
        storage.write("a/b", &largest).await?.unwrap();
        storage.write("a.b", b"").await?.unwrap_err();
        storage.write("a-b", b"").await?.unwrap();
        let over = vec![7; largest.len() + 1];
        ensure!(storage.write("a/b", &over).await? == Err(Error::TooLarge));
        for key in ["", "A", "../x", &"k".repeat(129)] {
            ensure!(storage.write(key, b"x").await? == Err(Error::BadKey));
            ensure!(storage.read(key).await? == Err(Error::BadKey));
        }
        drop(storage);

        let mut again = medium.open(None).await?;
        ensure!(again.read("a/b").await? == Ok(Some(largest)));
        ensure!(again.read("a-b").await? == Ok(Some(Vec::new())));
        ensure!(again.read("never-written").await? == Ok(None));
        again.remove("a/b").await?.unwrap();
        again.remove("a/b").await?.unwrap();
        ensure!(again.read("a/b").await? == Ok(None));
        for number in 0..255 {
            let key = format!("n{number}");
            again.write(&key, b"x").await?.unwrap();
        }
        ensure!(again.write("one-more", b"x").await? == Err(Error::Full));
        again.write("n0", b"y").await?.unwrap();
        again.remove("n1").await?.unwrap();
        again.write("one-more", b"x").await?.unwrap();
        Ok(())
    });
}

#[test]
fn a_folder_that_is_missing_is_named() {
    on_a_runtime(async {
        let medium = Medium::new()?;
        fs::remove_dir(medium.0.path().join("otscert"))?;
        let mut storage = medium.open(None).await?;
        let Err(Error::Medium(reason)) = storage.read("device").await? else {
            anyhow::bail!("read from nothing");
        };
        ensure!(reason.contains("device's folder otscert"), "{reason}");
        Ok(())
    });
}

/// What outlives an instance.
struct Medium(TempDir);

/// An instance, and the steps that it takes on the medium.
struct Storage {
    store: Store<Stock>,
    adapter: StorageAdapter,
    steps: Steps,
}

type Steps = Arc<Mutex<Vec<&'static str>>>;

impl Medium {
    fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::create_dir(folder.path().join("otscert"))?;
        Ok(Self(folder))
    }

    /// The files in the folder of records.
    fn files(&self) -> anyhow::Result<Vec<String>> {
        let folder = fs::read_dir(self.0.path().join("otscert/records"))?;
        folder
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    /// An instance; where `cut` is given, the power goes after that many steps.
    async fn open(&self, cut: Option<usize>) -> anyhow::Result<Storage> {
        let component = part("storage-wasi");
        let (mut linker, mut store) = host(&component, self.0.path());
        let steps = Steps::default();
        watch(&mut linker, &steps, cut).map_err(wide)?;
        let adapter = StorageAdapter::instantiate_async(&mut store, &component, &linker);
        Ok(Storage {
            adapter: adapter.await.map_err(wide)?,
            store,
            steps,
        })
    }
}

impl Storage {
    async fn write(&mut self, key: &str, value: &[u8]) -> anyhow::Result<Result<(), Error>> {
        let storage = self.adapter.otscert_provision_storage();
        let written = storage.call_write(&mut self.store, key, value, None).await;
        written.map_err(wide)
    }

    async fn read(&mut self, key: &str) -> anyhow::Result<Result<Option<Vec<u8>>, Error>> {
        let storage = self.adapter.otscert_provision_storage();
        storage.call_read(&mut self.store, key).await.map_err(wide)
    }

    async fn remove(&mut self, key: &str) -> anyhow::Result<Result<(), Error>> {
        let storage = self.adapter.otscert_provision_storage();
        storage
            .call_remove(&mut self.store, key)
            .await
            .map_err(wide)
    }
}

/// Stands before the runtime's own functions of files: notes what is called, and traps where the power goes.
fn watch(linker: &mut Linker<Stock>, steps: &Steps, cut: Option<usize>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut types = linker.instance("wasi:filesystem/types@0.2.12")?;
    let note = |name: &'static str| {
        let steps = Arc::clone(steps);
        move || {
            let mut steps = steps.lock().unwrap();
            if cut == Some(steps.len()) {
                bail!("the power went");
            }
            steps.push(name);
            Ok(())
        }
    };
    type Done<T> = wasmtime::Result<(Result<T, ErrorCode>,)>;
    fn heard<T>(done: Result<T, wasmtime_wasi::TrappableError<ErrorCode>>) -> Done<T> {
        match done {
            Ok(done) => Ok((Ok(done),)),
            Err(error) => Ok((Err(error.downcast()?),)),
        }
    }
    type Fd = Resource<Descriptor>;
    type Ctx<'a> = StoreContextMut<'a, Stock>;
    let step = note("sync");
    types.func_wrap_async(
        "[method]descriptor.sync",
        move |mut store: Ctx<'_>, (file,): (Fd,)| {
            let step = step();
            Box::new(async move {
                step?;
                heard(HostDescriptor::sync(&mut store.data_mut().filesystem(), file).await)
            })
        },
    )?;
    let step = note("write");
    types.func_wrap_async(
        "[method]descriptor.write",
        move |mut store: Ctx<'_>, (file, bytes, offset): (Fd, Vec<u8>, u64)| {
            let step = step();
            Box::new(async move {
                step?;
                let mut files = store.data_mut().filesystem();
                heard(HostDescriptor::write(&mut files, file, bytes, offset).await)
            })
        },
    )?;
    let step = note("rename");
    types.func_wrap_async(
        "[method]descriptor.rename-at",
        move |mut store: Ctx<'_>, (from, old, to, new): (Fd, String, Fd, String)| {
            let step = step();
            Box::new(async move {
                step?;
                let mut files = store.data_mut().filesystem();
                heard(HostDescriptor::rename_at(&mut files, from, old, to, new).await)
            })
        },
    )
}

pub(crate) fn host(component: &Component, folder: &Path) -> (Linker<Stock>, Store<Stock>) {
    let tls = trusting(RootCertStore::empty());
    let printed = MemoryOutputPipe::new(0);
    let wasi = wasi(folder, &[], &printed).unwrap();
    stock::host(component.engine(), wasi, tls).unwrap()
}

const OLD: &[u8] = b"old bytes, longer than the new ones";
const NEW: &[u8] = b"new bytes";
