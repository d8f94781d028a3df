//! Clients of every kind, honest and hostile, against the server.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::slots::{SLOTS_MAX, STRANGERS_MAX};
use super::*;
use crate::control::client::{Client, ClientError};
use crate::control::filter::Query;
use crate::control::history::tests::{at, event};
use crate::control::model::{Entry, Outcome, ReloadOutcome, State};
use crate::control::samples;
use crate::control::view::Order;

const LIMIT: Duration = Duration::from_secs(60);

/// A connection whose server end is served, with so much room in the pipe.
fn connected(board: &Arc<Board>, rights: Rights, room: usize) -> (DuplexStream, JoinHandle<()>) {
    let (client, server) = duplex(room);
    (client, tokio::spawn(serve(server, rights, Arc::clone(board))))
}

/// The whole answer to `request`.
async fn ask(board: &Arc<Board>, rights: Rights, request: &str) -> String {
    let (mut client, served) = connected(board, rights, 1 << 20);
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    served.await.unwrap();
    answer
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")
}

fn published() -> Arc<Board> {
    let (board, orders) = Board::new();
    // Nobody follows orders: a run loop that hangs.
    std::mem::forget(orders);
    board.publish(samples::view(samples::now()));
    board
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_starts_says_so() {
    let (board, _orders) = Board::new();
    let answer = ask(&board, Rights::Change, &get("/v1/status")).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("enforcer-control-version: 1\r\n"), "{answer}");
    assert!(answer.contains("\"code\":\"starting\""), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_run_loop_that_hangs_keeps_nobody_from_an_answer() {
    let board = published();
    let begin = Instant::now();
    let answer = ask(&board, Rights::Read, &get("/v1/status")).await;
    assert!(begin.elapsed() < Duration::from_secs(2));
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("\"state\":\"enforcing\""), "{answer}");
    // Orders pile up to a limit, then they are refused at once.
    let reload = "POST /v1/reload HTTP/1.1\r\nhost: x\r\n\r\n";
    let answers = (0..20).map(|_| {
        let board = Arc::clone(&board);
        tokio::spawn(async move { ask(&board, Rights::Change, reload).await })
    });
    let mut counts = [0, 0];
    for answer in answers.collect::<Vec<_>>() {
        let answer = answer.await.unwrap();
        counts[usize::from(answer.contains("\"code\":\"busy\""))] += 1;
        assert!(answer.contains("busy") || answer.contains("silent"), "{answer}");
    }
    assert!(counts[0] > 0 && counts[1] > 0, "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn only_who_may_change_reloads() {
    let (board, mut orders) = Board::new();
    board.publish(samples::view(samples::now()));
    let follow = tokio::spawn(async move {
        while let Some(order) = orders.recv().await {
            if let Order::Reload { reply } = order {
                let outcome = ReloadOutcome {
                    version: 1,
                    outcome: Outcome::Applied,
                    generation: 13,
                    causes: Vec::new(),
                    problems: Vec::new(),
                    changes: Vec::new(),
                    omitted: 0,
                };
                reply.send(outcome).unwrap();
            }
        }
    });
    let reload = "POST /v1/reload HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}";
    let answer = ask(&board, Rights::Read, reload).await;
    assert!(
        answer.starts_with("HTTP/1.1 403 ") && answer.contains("only root may change"),
        "{answer}"
    );
    let answer = ask(&board, Rights::Change, reload).await;
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"generation\":13"),
        "{answer}"
    );
    follow.abort();
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_wrongly_is_told() {
    let board = published();
    for (request, status, word) in [
        (get("/v2/status"), "404", "speaks version 1"),
        (get("/"), "404", "not-found"),
        (get("/v1/reload"), "405", "allow: POST"),
        (get("/v1/status").replace("GET", "DELETE"), "405", "allow: GET"),
        (get("/v1/events?since=soon"), "400", "neither a span of time"),
        (get("/v1/events?verdict=%zz"), "400", "percent-encoded"),
        ("\u{0}\u{1}garbage\r\n\r\n".to_owned(), "400", "HTTP/1.1"),
        ("GET\r\n\r\n".to_owned(), "400", "HTTP/1.1"),
    ] {
        let answer = ask(&board, Rights::Change, &request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request}: {answer}"
        );
        assert!(answer.contains(word), "{request}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_head_is_waited_for_and_not_for_ever() {
    let board = published();
    let (mut client, served) = connected(&board, Rights::Read, 4096);
    let begin = Instant::now();
    for byte in get("/v1/status").bytes().take(20) {
        if client.write_all(&[byte]).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    served.await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(25), "{:?}", begin.elapsed());
    // One that never says anything, too.
    let (client, served) = connected(&board, Rights::Read, 4096);
    let begin = Instant::now();
    served.await.unwrap();
    assert!(begin.elapsed() <= HEAD_LIMIT + Duration::from_secs(1));
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn a_huge_head_is_refused() {
    let board = published();
    for request in [
        format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(1 << 20)),
        format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(1 << 20)),
        format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(HEADERS_MAX + 1)),
    ] {
        let (mut client, served) = connected(&board, Rights::Read, 1 << 12);
        // It hangs up in the middle.
        let _refused = client.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ended = client.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
        served.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_huge_or_slow_body_is_refused() {
    let board = published();
    let head = "POST /v1/reload HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\n\r\n";
    let (mut client, served) = connected(&board, Rights::Change, 1 << 20);
    client.write_all(head.as_bytes()).await.unwrap();
    let _refused = client.write_all(&vec![b'x'; 2 * (64 << 10)]).await;
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    served.await.unwrap();

    let begin = Instant::now();
    let (mut client, served) = connected(&board, Rights::Change, 1 << 20);
    client.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(begin.elapsed() <= Duration::from_secs(7), "{:?}", begin.elapsed());
    served.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_in_the_middle_leaves_nothing() {
    let board = published();
    for sent in ["", "GET", &get("/v1/status"), &get("/v1/events?follow=true")] {
        let (mut client, served) = connected(&board, Rights::Read, 1 << 20);
        client.write_all(sent.as_bytes()).await.unwrap();
        // Half-closed, then gone.
        client.shutdown().await.unwrap();
        drop(client);
        tokio::time::timeout(LIMIT, served)
            .await
            .expect("it ends")
            .unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_holds_up_nobody_and_is_hung_up_on() {
    let board = published();
    let (mut stalled, served) = connected(&board, Rights::Read, 1024);
    stalled
        .write_all(get("/v1/events?follow=true").as_bytes())
        .await
        .unwrap();
    for number in 0..5000 {
        board.history.push(at(number), event("192.0.2.1:443"));
    }
    let begin = Instant::now();
    served.await.unwrap();
    // The run loop, which hangs here, is waited for before.
    let limits = WRITE_LIMIT..=WRITE_LIMIT + Duration::from_secs(2);
    assert!(limits.contains(&begin.elapsed()), "{:?}", begin.elapsed());
    assert_eq!(
        board.history.kept().forgotten,
        5000 - board.history.kept().entries
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_told_what_it_missed() {
    let board = published();
    let (mut client, served) = connected(&board, Rights::Read, 1024);
    client
        .write_all(get("/v1/events?follow=true").as_bytes())
        .await
        .unwrap();
    for number in 0..10_000 {
        board.history.push(at(number), event("192.0.2.1:443"));
        if number == 2000 {
            // It is being written to, and does not read for a while.
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    }
    let mut text = String::new();
    let mut chunk = [0; 4096];
    while !text.contains("\"number\":10000,") {
        let count = client.read(&mut chunk).await.unwrap();
        assert_ne!(count, 0, "it was hung up on");
        text.push_str(std::str::from_utf8(&chunk[..count]).unwrap());
    }
    assert!(text.contains(r#"{"kind":"missed","count":"#) && text.contains(r#""why":"slow-reader""#));
    drop(client);
    served.await.unwrap();
}

/// A server on a real socket, whose run loop does whatever it is told to.
struct Real {
    folder: tempfile::TempDir,
    board: Arc<Board>,
    server: Server,
}

impl Real {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let board = published();
        let server = Server::start(folder.path().join("control"), Arc::clone(&board)).unwrap();
        let real = Self {
            folder,
            board,
            server,
        };
        let begin = std::time::Instant::now();
        while !real.socket().exists() {
            assert!(begin.elapsed() < LIMIT, "it does not listen");
            std::thread::sleep(Duration::from_millis(1));
        }
        real
    }

    fn socket(&self) -> std::path::PathBuf {
        self.folder.path().join("control")
    }

    fn client(&self) -> Client {
        Client::at(self.socket())
    }

    fn connect(&self) -> std::os::unix::net::UnixStream {
        std::os::unix::net::UnixStream::connect(self.socket()).unwrap()
    }
}

#[tokio::test]
async fn the_client_and_the_server_understand_each_other() {
    let real = Real::start();
    for number in 0..3 {
        real.board.history.push(at(number), event("192.0.2.1:443"));
    }
    let status = real.client().status().await.unwrap();
    assert_eq!(
        (status.state, status.instance.as_str()),
        (State::Enforcing, "host")
    );
    assert_eq!(status.daemon.history.unwrap().entries, 3);

    let mut query = Query::decode("since=%231").unwrap();
    let mut entries = real.client().entries(&query).await.unwrap();
    assert_eq!(entries.pid, Some(std::process::id()));
    let mut numbers = Vec::new();
    while let Some(Entry::Event(event)) = entries.next().await.unwrap() {
        numbers.push(event.number);
    }
    assert_eq!(numbers, [2, 3]);

    query.follow = true;
    let mut entries = real.client().entries(&query).await.unwrap();
    for number in 2..10 {
        if number > 3 {
            real.board.history.push(at(number), event("192.0.2.2:443"));
        }
        match entries.next().await.unwrap() {
            Some(Entry::Event(event)) => assert_eq!(event.number, number),
            other => panic!("{other:?}"),
        }
    }
    // The end of the server is the end of the stream, and the socket is gone with it.
    let (socket, client) = (real.socket(), real.client());
    drop(real.server);
    assert!(entries.next().await.is_err());
    assert!(!socket.exists());
    assert!(matches!(
        client.status().await,
        Err(ClientError::NotListening { .. })
    ));
}

#[tokio::test]
async fn an_older_or_newer_daemon_is_recognised() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control");
    for (header, theirs) in [("enforcer-control-version: 2\r\n", "version 2"), ("", "none")] {
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let daemon = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let _count = stream.read(&mut request).unwrap();
            let answer = format!("HTTP/1.1 200 OK\r\n{header}content-length: 2\r\n\r\n{{}}");
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let error = Client::at(path.clone()).status().await.unwrap_err();
        daemon.join().unwrap();
        assert!(
            matches!(&error, ClientError::Version { theirs: found } if found == theirs),
            "{error:?}"
        );
        std::fs::remove_file(&path).unwrap();
    }
    let nobody = Client::at(path.clone()).status().await.unwrap_err();
    assert!(matches!(nobody, ClientError::NotListening { .. }));
    // What a dead daemon left.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let dead = Client::at(path).status().await.unwrap_err();
    assert!(matches!(dead, ClientError::NotListening { .. }));
}

#[tokio::test]
async fn a_thousand_at_once_are_turned_away_and_leave_nothing() {
    let real = Real::start();
    let crowd: Vec<_> = (0..1000).map(|_| real.connect()).collect();
    // All places are taken by those who say nothing.
    let begin = std::time::Instant::now();
    let refused = loop {
        match real.client().status().await {
            Err(error) => break error,
            Ok(_) => assert!(begin.elapsed() < LIMIT, "there was always room"),
        }
    };
    assert!(
        refused.is_refused("busy") || matches!(refused, ClientError::Ended(_)),
        "{refused:?}"
    );
    // Those who were turned away have been told, as far as there were places for that.
    let told = crowd
        .iter()
        .skip(SLOTS_MAX)
        .take(STRANGERS_MAX)
        .filter(|stream| {
            let mut text = String::new();
            let mut stream = *stream;
            stream.read_to_string(&mut text).is_ok() && text.starts_with("HTTP/1.1 503 ")
        })
        .count();
    assert!(told > 0);
    drop(crowd);
    let begin = std::time::Instant::now();
    while real.client().status().await.is_err() {
        assert!(begin.elapsed() < LIMIT, "it never answers again");
    }
}

#[tokio::test]
async fn a_socket_that_is_taken_away_is_made_again() {
    let real = Real::start();
    // Nothing is done where nothing is wrong.
    real.server.look();
    std::fs::remove_file(real.socket()).unwrap();
    let begin = std::time::Instant::now();
    while real.client().status().await.is_err() {
        assert!(begin.elapsed() < LIMIT, "it is not made again");
        real.server.look();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn where_no_socket_can_be_made_the_server_ends_when_it_is_told_to() {
    let server = Server::start(Path::new("/proc/nowhere/control").to_owned(), published()).unwrap();
    drop(server);
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_at_the_port_has_the_run_loop_look_once_a_second_at_most() {
    let (board, mut orders) = Board::new();
    board.publish(samples::view(samples::now()));
    let looked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = Arc::clone(&looked);
    let follow = tokio::spawn(async move {
        while let Some(order) = orders.recv().await {
            if let Order::Refresh { reply } = order {
                count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                reply.done();
            }
        }
    });
    let latest = port::Latest::default();
    for second in 1..=3 {
        let crowd = (0..50).map(|_| {
            let (board, latest) = (Arc::clone(&board), Arc::clone(&latest));
            tokio::spawn(async move {
                let (mut client, server) = duplex(1 << 20);
                let served = tokio::spawn(async move {
                    serve_with(server, |request| port::answer(request, &board, &latest)).await
                });
                client.write_all(get("/metrics").as_bytes()).await.unwrap();
                let mut answer = String::new();
                client.read_to_string(&mut answer).await.unwrap();
                served.await.unwrap();
                answer
            })
        });
        for answer in crowd.collect::<Vec<_>>() {
            let answer = answer.await.unwrap();
            assert!(
                answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("# EOF\n"),
                "{answer}"
            );
        }
        assert_eq!(looked.load(std::sync::atomic::Ordering::Relaxed), second);
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    follow.abort();
}
