//! The server over real sockets, asked with hickory's messages.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{net::SocketAddr, num::NonZeroU32, time::Duration};

use hickory_proto::{
    op::{Message, Query, ResponseCode},
    rr::{Name, RecordType},
};
use otscert_hq_dns::{
    BindError, DnsServer, LookOutcome, RateLimit, ServerOptions, Transport, visible,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    time::timeout,
};

use common::{LIMIT, later, name, options, start, value, zones};

mod common;

#[tokio::test]
async fn both_transports_answer_on_one_port() {
    let server = start(zones(), options()).await;
    for transport in [Transport::Udp, Transport::Tcp] {
        let reply = ask(
            server.address,
            transport,
            "192-168-1-7.live.z.example",
            RecordType::A,
        )
        .await;
        assert_eq!(reply.answers[0].data.to_string(), "192.168.1.7");
        let reply = ask(server.address, transport, "nobody.z.example", RecordType::A).await;
        assert_eq!(reply.metadata.response_code, ResponseCode::NXDomain);
    }
    let totals = server.metrics.totals();
    assert_eq!((totals.udp.no_error, totals.udp.nx_domain), (1, 1));
    assert_eq!((totals.tcp.no_error, totals.tcp.nx_domain), (1, 1));
    assert_eq!((totals.queries(), totals.tcp_accepted), (4, 2));
}

#[tokio::test]
async fn a_change_shows_in_the_next_answer() {
    let zones = zones();
    let server = start(zones.clone(), options()).await;
    let owner = name("_acme-challenge.live.z.example");
    let new = value("third");
    let look = || visible_here(server.address, "third");
    assert!(!look().await);
    zones.add_txt(&owner, &new, later()).unwrap();
    assert!(look().await);
    zones.remove_txt(&owner, &new).unwrap();
    assert!(!look().await);
    assert!(
        visible_here(server.address, "first").await,
        "the other values stay"
    );
}

#[tokio::test]
async fn what_is_too_large_goes_over_tcp_and_is_visible() {
    let server = start(zones(), options()).await;
    let many = "_acme-challenge.many.z.example";
    let reply = ask(server.address, Transport::Udp, many, RecordType::TXT).await;
    assert!(reply.metadata.truncation);
    let reply = ask(server.address, Transport::Tcp, many, RecordType::TXT).await;
    assert_eq!(reply.answers.len(), 40);
    assert_eq!(server.metrics.totals().truncated, 1);
    let last = value(&format!("{:043}", 39));
    let seen = visible(&[server.address], &name(many), &last, LIMIT).await;
    assert!(seen.everywhere(), "{seen:?}");
}

#[tokio::test]
async fn visibility_says_what_is_wrong_with_which_server() {
    let server = start(zones(), options()).await;
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let silent = silent.local_addr().unwrap();
    let limit = Duration::from_millis(300);
    let owner = name("_acme-challenge.live.z.example");
    let seen = visible(&[server.address, silent], &owner, &value("first"), limit).await;
    assert!(!seen.everywhere());
    assert_eq!(seen.looks().len(), 4);
    assert!(seen.missing().all(|look| look.server == silent));

    let absent = visible(&[server.address], &owner, &value("nothing"), limit).await;
    assert!(absent.missing().all(|look| {
        matches!(
            look.outcome,
            LookOutcome::Absent {
                rcode: ResponseCode::NoError,
                others: 2
            }
        )
    }));
    let foreign = visible(
        &[server.address],
        &name("x.other.example"),
        &value("v"),
        limit,
    )
    .await;
    assert!(
        foreign
            .missing()
            .all(|look| matches!(look.outcome, LookOutcome::NotAuthoritative))
    );
    assert_eq!(foreign.missing().count(), 2);
    assert!(
        !visible(&[], &owner, &value("first"), limit)
            .await
            .everywhere()
    );
}

#[tokio::test]
async fn a_network_over_its_rate_is_sent_to_tcp_and_gets_its_answer_there() {
    let one = NonZeroU32::new(1).unwrap();
    let server = start(
        zones(),
        ServerOptions {
            rate_limit: Some(RateLimit {
                per_second: one,
                burst: NonZeroU32::new(5).unwrap(),
            }),
            ..options()
        },
    )
    .await;
    let mut truncated = 0;
    for _ in 0..20 {
        // Each gets a reply: `ask` fails without one.
        let reply = ask(
            server.address,
            Transport::Udp,
            "live.z.example",
            RecordType::CAA,
        )
        .await;
        truncated += u64::from(reply.metadata.truncation);
    }
    assert!((10..=15).contains(&truncated), "{truncated}");
    assert_eq!(server.metrics.totals().limited, truncated);
    let reply = ask(
        server.address,
        Transport::Tcp,
        "live.z.example",
        RecordType::CAA,
    )
    .await;
    assert_eq!(reply.answers.len(), 2);
}

#[tokio::test]
async fn a_connection_carries_several_queries_up_to_its_limit() {
    let server = start(
        zones(),
        ServerOptions {
            tcp_queries_per_connection: NonZeroU32::new(3).unwrap(),
            ..options()
        },
    )
    .await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    for _ in 0..3 {
        let query = query("z.example", RecordType::SOA);
        assert_eq!(exchange(&mut stream, &query).await.answers.len(), 1);
    }
    assert_eq!(closed_after(&mut stream).await, Vec::<u8>::new());
}

#[tokio::test]
async fn a_network_has_so_many_connections_and_no_more() {
    let server = start(
        zones(),
        ServerOptions {
            tcp_connections_per_network: NonZeroU32::new(2).unwrap(),
            ..options()
        },
    )
    .await;
    let mut one = TcpStream::connect(server.address).await.unwrap();
    let mut two = TcpStream::connect(server.address).await.unwrap();
    exchange(&mut one, &query("z.example", RecordType::SOA)).await;
    exchange(&mut two, &query("z.example", RecordType::SOA)).await;
    let mut three = TcpStream::connect(server.address).await.unwrap();
    let _ = three.read_u8().await.unwrap_err();
    assert_eq!(server.metrics.totals().tcp_refused, 1);
    drop(one);
    // The seat is free once the server has noticed.
    timeout(LIMIT, async {
        loop {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            let framed = framed(&query("z.example", RecordType::SOA));
            if stream.write_all(&framed).await.is_ok() && stream.read_u16().await.is_ok() {
                break;
            }
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn silent_slow_and_rude_connections_are_closed() {
    let server = start(
        zones(),
        ServerOptions {
            tcp_idle: Duration::from_millis(100),
            ..options()
        },
    )
    .await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    assert!(closed_after(&mut silent).await.is_empty());
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(&[0, 40, 1, 2, 3]).await.unwrap();
    assert!(closed_after(&mut slow).await.is_empty());
    let mut rude = TcpStream::connect(server.address).await.unwrap();
    rude.write_all(&[0xff, 0xff]).await.unwrap();
    assert!(closed_after(&mut rude).await.is_empty());
    let mut short = TcpStream::connect(server.address).await.unwrap();
    short.write_all(&[0, 2, 1, 2]).await.unwrap();
    assert!(closed_after(&mut short).await.is_empty());
    assert_eq!(server.metrics.totals().ignored, 1);
}

#[tokio::test]
async fn the_shutdown_ends_the_server_and_frees_the_port() {
    let server = start(zones(), options()).await;
    let mut open = TcpStream::connect(server.address).await.unwrap();
    exchange(&mut open, &query("z.example", RecordType::SOA)).await;
    let address = server.address;
    assert_eq!(server.stop().await.queries(), 1);
    assert!(closed_after(&mut open).await.is_empty());
    let again = DnsServer::bind(&[address], zones(), options())
        .await
        .unwrap();
    assert_eq!(again.local_addr(), address);
}

#[tokio::test]
async fn a_taken_port_is_named_with_who_may_have_it() {
    let first = start(zones(), options()).await;
    let error = bind_error(first.address).await;
    assert!(
        matches!(
            error,
            BindError::InUse {
                transport: "UDP",
                ..
            }
        ),
        "{error:?}"
    );
    let text = error.to_string();
    let port = first.address.port();
    assert!(
        text.contains(&format!("DNS port {port} on 127.0.0.1 is taken")),
        "{text}"
    );
    assert!(
        text.contains(&format!("ss -lunpt 'sport = :{port}'")),
        "{text}"
    );

    let only_tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = bind_error(only_tcp.local_addr().unwrap()).await;
    assert!(
        matches!(
            error,
            BindError::InUse {
                transport: "TCP",
                ..
            }
        ),
        "{error:?}"
    );

    let error = bind_error("203.0.113.1:0".parse().unwrap()).await;
    assert!(
        error.to_string().contains("does not have that address"),
        "{error}"
    );
    assert!(matches!(
        DnsServer::bind(&[], zones(), options()).await,
        Err(BindError::NoAddress)
    ));
}

async fn bind_error(address: SocketAddr) -> BindError {
    match DnsServer::bind(&[address], zones(), options()).await {
        Ok(_) => panic!("{address} could be bound"),
        Err(error) => error,
    }
}

async fn visible_here(server: SocketAddr, text: &str) -> bool {
    let owner = name("_acme-challenge.live.z.example");
    visible(&[server], &owner, &value(text), LIMIT)
        .await
        .everywhere()
}

async fn ask(
    server: SocketAddr,
    transport: Transport,
    name: &str,
    record_type: RecordType,
) -> Message {
    let query = query(name, record_type);
    let asked = async {
        match transport {
            Transport::Udp => {
                let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                socket.connect(server).await.unwrap();
                socket.send(&query.to_vec().unwrap()).await.unwrap();
                let mut buffer = [0; 4096];
                let length = socket.recv(&mut buffer).await.unwrap();
                Message::from_vec(&buffer[..length]).unwrap()
            }
            Transport::Tcp => {
                exchange(&mut TcpStream::connect(server).await.unwrap(), &query).await
            }
        }
    };
    let reply = timeout(LIMIT, asked).await.expect("an answer in time");
    assert_eq!(reply.metadata.id, query.metadata.id);
    reply
}

async fn exchange(stream: &mut TcpStream, query: &Message) -> Message {
    stream.write_all(&framed(query)).await.unwrap();
    let length = stream.read_u16().await.unwrap();
    let mut reply = vec![0; length.into()];
    stream.read_exact(&mut reply).await.unwrap();
    Message::from_vec(&reply).unwrap()
}

fn framed(query: &Message) -> Vec<u8> {
    let bytes = query.to_vec().unwrap();
    [
        &u16::try_from(bytes.len()).unwrap().to_be_bytes()[..],
        &bytes,
    ]
    .concat()
}

/// Returns what still comes before the server closes the connection.
async fn closed_after(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    // A reset is a close too.
    let _ = timeout(LIMIT, stream.read_to_end(&mut rest))
        .await
        .expect("the server closes");
    rest
}

fn query(name: &str, record_type: RecordType) -> Message {
    let mut name = Name::from_ascii(name).unwrap();
    name.set_fqdn(true);
    let mut message = Message::query();
    message.add_query(Query::query(name, record_type));
    message
}
