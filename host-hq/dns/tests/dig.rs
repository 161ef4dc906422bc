//! The server as `dig` sees it: a second opinion on the wire format and on every rule.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use common::{Running, options, start, zones};

mod common;

#[tokio::test(flavor = "multi_thread")]
async fn dig_agrees_over_udp_and_tcp() {
    let server = start(zones(), options()).await;
    for transport in ["+notcp", "+tcp"] {
        let ask = |args: &str| answer(&server, &format!("{transport} {args}"));
        for (question, expected) in [
            (
                "z.example SOA",
                "NOERROR qr aa; z.example. 3600 IN SOA ns1.z.example. hostmaster.maker.example. 45 3600 600 1209600 60",
            ),
            (
                "z.example NS",
                "NOERROR qr aa; z.example. 3600 IN NS ns1.z.example.; ns1.z.example. 3600 IN A 203.0.113.53",
            ),
            (
                "z.example CAA",
                "NOERROR qr aa; z.example. 300 IN CAA 0 issue \";\"; z.example. 300 IN CAA 0 issuewild \";\"",
            ),
            (
                "live.z.example CAA",
                "NOERROR qr aa; live.z.example. 300 IN CAA 0 issue \";\"; live.z.example. 300 IN CAA 0 issuewild \
                 \"ca.example; accounturi=https://ca.example/acct/7; validationmethods=dns-01\"",
            ),
            (
                "nifty-babbage.z.example CAA",
                "NOERROR qr aa; nifty-babbage.z.example. 300 IN CAA 0 issue \
                 \"ca.example; accounturi=https://ca.example/acct/7; validationmethods=dns-01\"; \
                 nifty-babbage.z.example. 300 IN CAA 0 issuewild \";\"",
            ),
            (
                "192-168-1-7.live.z.example A",
                "NOERROR qr aa; 192-168-1-7.live.z.example. 86400 IN A 192.168.1.7",
            ),
            (
                "fd12--7.live.z.example AAAA",
                "NOERROR qr aa; fd12--7.live.z.example. 86400 IN AAAA fd12::7",
            ),
            (
                "nifty-babbage.z.example A",
                "NOERROR qr aa; nifty-babbage.z.example. 60 IN A 192.168.1.9",
            ),
            (
                "_acme-challenge.live.z.example TXT",
                "NOERROR qr aa; _acme-challenge.live.z.example. 60 IN TXT \"first\"; \
                 _acme-challenge.live.z.example. 60 IN TXT \"second\"",
            ),
            ("z.example MX", "NOERROR qr aa; z.example. 3600 IN MX 0 ."),
            (
                "z.example TXT",
                "NOERROR qr aa; z.example. 3600 IN TXT \"v=spf1 -all\"",
            ),
            (
                "_dmarc.live.z.example TXT",
                "NOERROR qr aa; _dmarc.live.z.example. 3600 IN TXT \"v=DMARC1; p=reject\"",
            ),
            (
                "z.example ANY",
                "NOERROR qr aa; z.example. 3600 IN HINFO \"RFC8482\" \"\"",
            ),
        ] {
            assert_eq!(ask(question), expected, "{transport} {question}");
        }
        for (question, status) in [
            // It exists without that type; `many` exists because of what is below it.
            ("live.z.example A", "NOERROR"),
            ("live.z.example HTTPS", "NOERROR"),
            ("live.z.example SVCB", "NOERROR"),
            ("live.z.example DS", "NOERROR"),
            ("live.z.example TYPE65280", "NOERROR"),
            ("fd12--7.live.z.example A", "NOERROR"),
            ("many.z.example A", "NOERROR"),
            // It does not.
            ("nobody.z.example A", "NXDOMAIN"),
            ("www.live.z.example A", "NXDOMAIN"),
            ("8-8-8-8.live.z.example A", "NXDOMAIN"),
            ("*.live.z.example A", "NXDOMAIN"),
            ("*.nifty-babbage.z.example A", "NXDOMAIN"),
            ("x.192-168-1-7.live.z.example A", "NXDOMAIN"),
        ] {
            let expected = format!(
                "{status} qr aa; z.example. 60 IN SOA ns1.z.example. hostmaster.maker.example. 45 3600 600 1209600 60"
            );
            assert_eq!(ask(question), expected, "{transport} {question}");
        }
        for (question, expected) in [
            ("other.example A", "REFUSED qr"),
            ("example SOA", "REFUSED qr"),
            ("z.example SOA -c CH", "REFUSED qr"),
            ("version.bind TXT -c CH", "REFUSED qr"),
            ("z.example SOA +edns=1 +noednsnegotiation", "BADVERS qr"),
            ("z.example +opcode=update", "NOTIMP qr"),
            ("z.example +opcode=notify", "NOTIMP qr"),
            ("z.example SOA +noedns +header-only", "FORMERR qr"),
        ] {
            assert_eq!(ask(question), expected, "{transport} {question}");
        }
    }
    let totals = server.stop().await;
    assert_eq!((totals.udp.bad_vers, totals.udp.form_err), (1, 1));
    assert_eq!(totals.udp, totals.tcp);
}

#[tokio::test(flavor = "multi_thread")]
async fn dig_gets_no_transfer() {
    let server = start(zones(), options()).await;
    for question in ["z.example AXFR", "z.example IXFR=1"] {
        let output = dig(&server, &format!("+tcp {question}"));
        assert!(output.contains("Transfer failed"), "{question}: {output}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dig_turns_to_tcp_for_a_large_answer() {
    let server = start(zones(), options()).await;
    let question = "_acme-challenge.many.z.example TXT";
    let cut = answer(&server, &format!("+notcp +ignore {question}"));
    assert_eq!(cut, "NOERROR qr aa tc");
    let whole = dig(&server, &format!("+notcp {question}"));
    assert!(whole.contains("Truncated, retrying in TCP mode"), "{whole}");
    assert!(whole.contains("ANSWER: 40"), "{whole}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dig_sees_the_spelling_of_its_question_and_our_edns() {
    let server = start(zones(), options()).await;
    for transport in ["+notcp", "+tcp"] {
        let output = dig(
            &server,
            &format!("{transport} +dnssec 192-168-1-7.LiVe.z.ExAmPlE A"),
        );
        assert!(
            output.contains(";192-168-1-7.LiVe.z.ExAmPlE.\tIN\tA"),
            "{output}"
        );
        assert!(
            output.contains("192-168-1-7.LiVe.z.ExAmPlE. 86400 IN\tA\t192.168.1.7"),
            "{output}"
        );
        assert!(
            output.contains("; EDNS: version: 0, flags: do; udp: 1232"),
            "{output}"
        );
        let output = dig(&server, &format!("{transport} +noedns z.example SOA"));
        assert!(!output.contains("EDNS"), "{output}");
    }
}

fn answer(server: &Running, args: &str) -> String {
    otscert_hq_dns::dig::answer(server.address, args).unwrap()
}

fn dig(server: &Running, args: &str) -> String {
    otscert_hq_dns::dig::output(server.address, args).unwrap()
}
