//! Stored records: whole, torn, changed, and from other versions.

use std::collections::BTreeMap;

use otscert_crypto::RustCrypto;
use otscert_machine::crypto::{Crypto as _, Secret};
use otscert_machine::device::records::{DeviceRecord, Phase};
use otscert_machine::record::{self, RecordError, RecordKind};
use otscert_machine::time::Timestamp;
use otscert_machine::types::Nonce;
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

#[test]
fn a_record_reads_as_it_was_written() {
    let value = Value::example();
    for kind in RecordKind::ALL {
        let bytes = record::seal(kind, &value, &RustCrypto);
        assert_eq!(
            record::open::<Value>(kind, &bytes, &RustCrypto).unwrap(),
            value
        );
        assert_eq!(record::kind_of(&bytes), Some(kind));
    }
}

#[test]
fn a_secret_survives_and_does_not_print() {
    let secret = Secret::new([0xa7; 32]);
    let bytes = record::seal(RecordKind::Device, &secret, &RustCrypto);
    let read: Secret<32> = record::open(RecordKind::Device, &bytes, &RustCrypto).unwrap();
    assert_eq!(read.expose(), secret.expose());
    assert_eq!(format!("{read:?}"), "Secret<32>(redacted)");
    let other_length = record::open::<Secret<16>>(RecordKind::Device, &bytes, &RustCrypto);
    assert!(matches!(other_length, Err(RecordError::Body { .. })));
}

#[test]
fn numbers_and_choices_that_cannot_be_are_told() {
    #[derive(Debug, Deserialize)]
    enum Choice {
        One,
        Two,
    }
    let sealed = |bytes: [u8; 10]| record::seal(RecordKind::Device, &bytes, &RustCrypto);
    let number = |bytes| record::open::<u64>(RecordKind::Device, &sealed(bytes), &RustCrypto);
    let most = number([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
    assert_eq!(most, Ok(u64::MAX));
    for wrong in [[0x80; 10], [0xff; 10]] {
        let error = number(wrong).unwrap_err().to_string();
        assert!(error.contains("a number is too large"), "{error}");
    }
    let choice = |number: u8| {
        let bytes = record::seal(RecordKind::Device, &[number], &RustCrypto);
        record::open::<Choice>(RecordKind::Device, &bytes, &RustCrypto)
    };
    assert!(matches!(
        (choice(0), choice(1)),
        (Ok(Choice::One), Ok(Choice::Two))
    ));
    let error = choice(2).unwrap_err().to_string();
    assert!(error.contains("none that this version knows"), "{error}");
}

/// The last byte holds as many bits as are left of the number, and a bit more is too many.
#[test]
fn a_number_has_no_bit_that_its_type_has_not() {
    fn read<T: DeserializeOwned>(bytes: impl Serialize) -> Result<T, String> {
        let sealed = record::seal(RecordKind::Device, &bytes, &RustCrypto);
        let read = record::open(RecordKind::Device, &sealed, &RustCrypto);
        read.map_err(|error| error.to_string())
    }
    let long = |last| [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, last];
    assert_eq!(read([0xff, 0xff, 0x03_u8]), Ok(u16::MAX));
    assert_eq!(read([0xff, 0xff, 0xff, 0xff, 0x0f_u8]), Ok(u32::MAX));
    assert_eq!(read(long(0x01_u8)), Ok(u64::MAX));
    for error in [
        read::<u16>([0xff, 0xff, 0x04_u8]).map(drop),
        read::<u16>([0xff, 0xff, 0x83_u8]).map(drop),
        read::<u32>([0xff, 0xff, 0xff, 0xff, 0x10_u8]).map(drop),
        read::<u64>(long(0x02_u8)).map(drop),
    ] {
        let error = error.unwrap_err();
        assert!(error.contains("a number is too large"), "{error}");
    }
}

/// The stored form is frozen: boxes read records that their earlier firmware wrote.
#[test]
fn the_stored_form_is_frozen() {
    let bytes = record::seal(RecordKind::HqName, &(7u32, "box"), &RustCrypto);
    let head = b"OTSC\x01\x12\x05\0\0\0\x07\x03box";
    assert_eq!(bytes[..head.len()], *head);
    assert_eq!(bytes[head.len()..], RustCrypto.sha256(&[head])[..16]);
    let numbers = RecordKind::ALL.map(|kind| kind as u8);
    assert_eq!(
        numbers,
        [1, 2, 3, 4, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25]
    );
}

#[test]
fn what_is_no_record_of_this_kind_and_version_is_refused_by_its_name() {
    use RecordKind::{Device, DeviceCredential};
    let good = record::seal(Device, &Value::example(), &RustCrypto);
    let open = |bytes: &[u8]| record::open::<Value>(Device, bytes, &RustCrypto).unwrap_err();
    let changed = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    assert_eq!(
        open(b"{\"json\": true}"),
        RecordError::NotARecord { expected: Device }
    );
    assert_eq!(open(&[0; 64]), RecordError::NotARecord { expected: Device });
    assert_eq!(
        open(&changed(4, 2)),
        RecordError::UnknownVersion {
            expected: 1,
            got: 2
        }
    );
    assert_eq!(record::kind_of(&changed(4, 2)), None);
    assert_eq!(
        open(&changed(5, 99)),
        RecordError::OtherKind {
            expected: Device,
            got: 99
        }
    );
    let other = record::seal(DeviceCredential, &Value::example(), &RustCrypto);
    assert_eq!(
        open(&other),
        RecordError::OtherKind {
            expected: Device,
            got: 2
        }
    );
    assert_eq!(
        open(&changed(20, good[20] ^ 1)),
        RecordError::Checksum { kind: Device }
    );

    let (expected, got) = (26, 9);
    let torn = RecordError::Truncated {
        kind: Device,
        expected,
        got,
    };
    assert_eq!(
        open(&good[..got]),
        torn,
        "of a header and a checksum at least"
    );

    let (expected, got) = (good.len(), good.len() + 1);
    let trailing = RecordError::Truncated {
        kind: Device,
        expected,
        got,
    };
    assert_eq!(open(&[&good[..], &[0]].concat()), trailing);

    let body = record::seal(Device, &1u8, &RustCrypto);
    assert!(matches!(
        open(&body),
        RecordError::Body { kind: Device, .. }
    ));
    let longer = record::seal(Device, &(Value::example(), 0u8), &RustCrypto);
    let RecordError::Body { reason, .. } = open(&longer) else {
        panic!()
    };
    assert_eq!(reason, "bytes are left over");
}

#[test]
fn errors_say_what_happened_and_what_to_do() {
    let bytes = record::seal(RecordKind::Device, &Value::example(), &RustCrypto);
    let torn = &bytes[..bytes.len() - 1];
    let error = record::open::<Value>(RecordKind::Device, torn, &RustCrypto).unwrap_err();
    let (expected, got) = (bytes.len(), torn.len());
    let text = format!(
        "reading the stored device record: it should have {expected} bytes and has {got}; the \
         storage lost or added some, restore it from a backup"
    );
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_length_that_no_storage_holds_is_refused() {
    let mut bytes = record::seal(RecordKind::Device, &1u8, &RustCrypto);
    bytes[6..10].fill(0xff);
    let error = record::open::<u8>(RecordKind::Device, &bytes, &RustCrypto).unwrap_err();
    assert!(matches!(error, RecordError::Truncated { .. }));
}

proptest! {
    #[test]
    fn every_value_comes_back(value: Value) {
        let bytes = record::seal(RecordKind::HqDevice, &value, &RustCrypto);
        let read: Value = record::open(RecordKind::HqDevice, &bytes, &RustCrypto).unwrap();
        prop_assert_eq!(read, value);
    }

    /// A write that was cut off leaves the beginning of the new record, or that with the end of
    /// the old one, or zeros, behind it.
    #[test]
    fn a_record_torn_at_any_byte_is_refused(value: Value, old: Value) {
        let new = record::seal(RecordKind::Device, &value, &RustCrypto);
        let old = record::seal(RecordKind::Device, &old, &RustCrypto);
        let open = |bytes: &[u8]| record::open::<Value>(RecordKind::Device, bytes, &RustCrypto);
        for cut in 0..new.len() {
            prop_assert!(open(&new[..cut]).is_err(), "{} bytes", cut);
            let mut zeros = new[..cut].to_vec();
            zeros.resize(new.len(), 0);
            prop_assert!(zeros == new || open(&zeros).is_err(), "{} bytes, then zeros", cut);
            let mixed = [&new[..cut], old.get(cut..).unwrap_or_default()].concat();
            let whole = mixed == new || mixed == old;
            prop_assert!(whole || open(&mixed).is_err(), "{} bytes, then the old ones", cut);
        }
        prop_assert!(open(&[&new[..], &[0]].concat()).is_err());
    }

    #[test]
    fn a_flipped_bit_is_noticed(value: Value, bit: usize) {
        let mut bytes = record::seal(RecordKind::Device, &value, &RustCrypto);
        let at = bit / 8 % bytes.len();
        bytes[at] ^= 1 << (bit % 8);
        prop_assert!(record::open::<Value>(RecordKind::Device, &bytes, &RustCrypto).is_err());
    }

    #[test]
    fn no_bytes_make_reading_panic(bytes: Vec<u8>, known: bool) {
        let head: &[u8] = if known { b"OTSC\x01\x01" } else { b"" };
        let bytes = [head, &bytes].concat();
        prop_assert!(record::open::<Value>(RecordKind::Device, &bytes, &RustCrypto).is_err());
    }

    /// With a right checksum, as a faulty version might write it.
    #[test]
    fn no_body_makes_reading_panic(body: Vec<u8>) {
        let mut bytes = b"OTSC\x01\x01".to_vec();
        bytes.extend((body.len() as u32).to_le_bytes());
        bytes.extend(body);
        let checksum = RustCrypto.sha256(&[&bytes]);
        bytes.extend(&checksum[..16]);
        let _ = record::open::<Value>(RecordKind::Device, &bytes, &RustCrypto);
    }
}

/// Of every shape that stored types have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Value {
    number: u64,
    text: String,
    maybe: Option<Nonce>,
    list: Vec<(u8, String)>,
    map: BTreeMap<String, Vec<u8>>,
}

impl Value {
    fn example() -> Self {
        Self {
            number: 300,
            text: "box".to_string(),
            maybe: Some(Nonce::new([5; 16])),
            list: vec![(1, "one".to_string())],
            map: BTreeMap::from([("key".to_string(), vec![1, 2, 3])]),
        }
    }
}

impl Arbitrary for Value {
    type Parameters = ();
    type Strategy = BoxedStrategy<Self>;

    fn arbitrary_with((): ()) -> Self::Strategy {
        use proptest::collection::{btree_map, vec};
        let maybe = any::<Option<[u8; 16]>>();
        let list = vec(any::<(u8, String)>(), 0..3);
        let map = btree_map(any::<String>(), vec(any::<u8>(), 0..16), 0..3);
        (any::<u64>(), any::<String>(), maybe, list, map)
            .prop_map(|(number, text, maybe, list, map)| Self {
                number,
                text,
                maybe: maybe.map(Nonce::new),
                list,
                map,
            })
            .boxed()
    }
}

/// Found by the fuzz target `record`: a code whose reading refused let the reader of records, which knows no such way
/// out, panic.
#[test]
fn a_stored_code_that_is_none_reads_as_none() {
    #[derive(serde::Serialize)]
    struct Written {
        boot_count: u64,
        exchanges: u64,
        versions: u64,
        floor: Timestamp,
        epoch: u64,
        claim_code: &'static str,
        phase: Phase,
    }
    for claim_code in ["", "no code at all", "7K3M-Q2WT-9XHB-04ZF-K"] {
        let written = Written {
            boot_count: 3,
            exchanges: 4,
            versions: 5,
            floor: Timestamp::from_millis(6),
            epoch: 7,
            claim_code,
            phase: Phase::Fresh(None),
        };
        let bytes = record::seal(RecordKind::Device, &written, &RustCrypto);
        let read: DeviceRecord = record::open(RecordKind::Device, &bytes, &RustCrypto).unwrap();
        assert!(read.claim_code.is_none(), "{claim_code}");
        assert_eq!((read.boot_count, read.epoch), (3, 7));
    }
}
