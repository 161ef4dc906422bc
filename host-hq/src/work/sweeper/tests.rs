use otscert_hq_ca::operation::OrderPrice;

use crate::registrar::Change;
use crate::store::{Charge, QuotaQuestion};
use crate::testing::{Rig, START, ScriptedGuests, key, reply, subject};
use crate::types::{DnsRecord, Note, Outcome};
use crate::work::Zone;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_expired_goes_and_the_rest_stays() {
    let rig = Rig::new(ScriptedGuests::new(|_, _, _| Ok(reply(Outcome::Ok)))).await;
    let txt = |value: &str, expires| DnsRecord::Txt {
        owner: "_acme-challenge.x.fleet.test".to_owned(),
        value: value.to_owned(),
        expires,
    };
    let soon = START.plus_millis(10);
    let records = [txt("goes", soon), txt("stays", START.plus_millis(1 << 50))];
    for record in &records {
        rig.zone.publish(record).unwrap();
    }
    let of_transaction = records.clone();
    rig.store
        .run_tx("test", move |mut tx| {
            Box::pin(async move {
                for (name, expires) in [("goes", Some(soon)), ("stays", None)] {
                    let change = Change::Put {
                        value: vec![1],
                        expires,
                    };
                    tx.change_records(&[(key(name), change)].into()).await?;
                }
                for record in &of_transaction {
                    tx.publish(record).await?;
                }
                let notes = ["note", "restored"].map(|kind| Note {
                    subject: subject("own"),
                    kind: kind.to_owned(),
                    text: "note".to_owned(),
                });
                tx.note(&notes, START).await?;
                let charge = Charge {
                    ca: "le".to_owned(),
                    price: OrderPrice::First,
                    proved: false,
                    name_set: "x".to_owned(),
                };
                tx.charge(&subject("own"), &charge, START).await
            })
        })
        .await
        .unwrap();

    let sweeper = rig.sweeper();
    let none = Swept {
        records: 0,
        zone: 0,
        history: 0,
        notices: 0,
        quota: 0,
    };
    assert_eq!(sweeper.run_once(START).await.unwrap(), none);
    let some = Swept {
        records: 1,
        zone: 1,
        history: 0,
        notices: 0,
        quota: 0,
    };
    assert_eq!(sweeper.run_once(soon).await.unwrap(), some);
    assert_eq!(rig.zone.served(), records[1..]);
    assert_eq!(rig.store.zone(START).await.unwrap(), records[1..]);
    assert!(rig.record("stays").await.is_some() && rig.record("goes").await.is_none());

    let SweeperOptions {
        history_ms,
        quota_ms,
    } = SweeperOptions::default();
    let much_later = START.plus_millis(history_ms.max(quota_ms) + 1);
    let old = Swept {
        records: 0,
        zone: 0,
        history: 2,
        notices: 1,
        quota: 1,
    };
    assert_eq!(sweeper.run_once(much_later).await.unwrap(), old);
    let left = rig
        .store
        .run_tx("test", |mut tx| {
            Box::pin(async move {
                let prices = [OrderPrice::First];
                let question = QuotaQuestion {
                    ca: "le",
                    prices: &prices,
                    name_set: None,
                    unproved_only: false,
                    ahead_of_proved: false,
                    since: Timestamp::from_millis(0),
                    limit: 10,
                };
                tx.charges(&question).await
            })
        })
        .await
        .unwrap();
    assert_eq!(left, []);
}
