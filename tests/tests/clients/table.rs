//! The clients: one entry each.

use enforcer_lab::{new_skopeo_program, tls_program};

use crate::client::{Client, Subject};
use crate::host::Host;

/// Three requests, one after the other, over one connection.
const HTTP1: Subject = Subject::Sentence {
    version: "HTTP/1.1",
    requests: 3,
};
const HTTP2: Subject = Subject::Sentence {
    version: "HTTP/2.0",
    requests: 3,
};
/// A share of X25519MLKEM768 alone has 1,216 bytes.
const POST_QUANTUM_BYTES: usize = 1_300;

/// Every client, with the TLS library that makes its hello.
pub(crate) const ALL: [Client; 11] = [
    // OpenSSL 3, which pads its hello to 517 bytes.
    Client {
        name: "curl",
        command: |_, name| curl(name, &[]),
        asks_for: HTTP2,
        hello_bytes: 400..=700,
        is_asked_twice: false,
        status_tells: true,
    },
    Client {
        name: "curl, HTTP/1.1",
        command: |_, name| curl(name, &["--http1.1"]),
        asks_for: HTTP1,
        hello_bytes: 400..=700,
        is_asked_twice: false,
        status_tells: true,
    },
    // The group of its share is one that the server does not have: a HelloRetryRequest asks for a second hello.
    Client {
        name: "curl, asked twice",
        command: |_, name| curl(name, &["--curves", "P-521:X25519"]),
        asks_for: HTTP2,
        hello_bytes: 400..=700,
        is_asked_twice: true,
        status_tells: true,
    },
    // GnuTLS
    Client {
        name: "wget",
        command: |_, name| {
            let options = ["wget", "--quiet", "--no-hsts", "--tries=1", "--output-document=-"];
            let trust = "--ca-certificate=ca.pem".to_owned();
            words(&options).chain([trust]).chain(urls(name)).collect()
        },
        asks_for: HTTP1,
        hello_bytes: 200..=600,
        is_asked_twice: false,
        status_tells: true,
    },
    // OpenSSL, by the module `ssl`. The system's Python, whatever else is in PATH.
    Client {
        name: "Python",
        command: |_, name| words(&["/usr/bin/python3", "-c", PYTHON, name]).collect(),
        asks_for: HTTP1,
        hello_bytes: 400..=700,
        is_asked_twice: false,
        status_tells: true,
    },
    // OpenSSL, in Node's own copy.
    Client {
        name: "Node",
        command: |_, name| node(NODE_HTTP1, name),
        asks_for: HTTP1,
        hello_bytes: 300..=700,
        is_asked_twice: false,
        status_tells: true,
    },
    Client {
        name: "Node, HTTP/2",
        command: |_, name| node(NODE_HTTP2, name),
        asks_for: HTTP2,
        hello_bytes: 300..=700,
        is_asked_twice: false,
        status_tells: true,
    },
    // rustls, with a post-quantum share.
    Client {
        name: "rustls",
        command: |_, name| {
            let program = tls_program().expect("it is built with this test");
            vec![program.display().to_string(), name.to_owned(), "3".to_owned()]
        },
        asks_for: HTTP1,
        hello_bytes: POST_QUANTUM_BYTES..=2_000,
        is_asked_twice: false,
        status_tells: true,
    },
    // Go's own TLS.
    Client {
        name: "skopeo",
        command: |_, name| pull("skopeo", name).collect(),
        asks_for: Subject::Image,
        hello_bytes: 150..=600,
        is_asked_twice: false,
        status_tells: true,
    },
    // Go's own TLS, as new as to send a post-quantum share.
    Client {
        name: "skopeo, new",
        command: |_, name| {
            let program = new_skopeo_program().expect("the set-up fetches it");
            let pull = pull(&program.display().to_string(), name);
            // Debian builds it as of old, which would turn post-quantum shares off.
            words(&["env", "GODEBUG=tlsmlkem=1"]).chain(pull).collect()
        },
        asks_for: Subject::Image,
        hello_bytes: POST_QUANTUM_BYTES..=2_000,
        is_asked_twice: false,
        status_tells: true,
    },
    // BoringSSL: a post-quantum share, encrypted ClientHello as GREASE, extensions in an order of chance.
    Client {
        name: "Chromium",
        command: chromium,
        asks_for: Subject::Sentence {
            version: "HTTP/2.0",
            requests: 1,
        },
        hello_bytes: POST_QUANTUM_BYTES..=2_500,
        // It shows a page about the error, and that is success.
        is_asked_twice: false,
        status_tells: false,
    },
];

const PYTHON: &str = r#"
import http.client, sys
connection = http.client.HTTPSConnection(sys.argv[1])
for number in range(1, 4):
    connection.request("GET", f"/{number}")
    print(connection.getresponse().read().decode())
"#;

const NODE_HTTP1: &str = r#"
const https = require("node:https");
const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
const ask = number => https.get({ host: process.argv[1], path: `/${number}`, agent }, answer => {
    answer.on("data", data => process.stdout.write(data));
    answer.on("end", () => number < 3 ? ask(number + 1) : agent.destroy());
});
ask(1);
"#;

const NODE_HTTP2: &str = r#"
const session = require("node:http2").connect(`https://${process.argv[1]}`);
const ask = number => {
    const stream = session.request({ ":path": `/${number}` });
    stream.on("data", data => process.stdout.write(data));
    stream.on("end", () => number < 3 ? ask(number + 1) : session.close());
};
ask(1);
"#;

fn words(words: &[&str]) -> impl Iterator<Item = String> {
    words.iter().map(|&word| word.to_owned())
}

fn urls(name: &str) -> impl Iterator<Item = String> {
    (1..=3).map(move |number| format!("https://{name}/{number}"))
}

fn curl(name: &str, options: &[&str]) -> Vec<String> {
    words(&["curl", "--silent", "--show-error", "--fail"])
        .chain(words(options))
        .chain(urls(name))
        .collect()
}

fn node(script: &str, name: &str) -> Vec<String> {
    // A far server is not given up after the quarter of a second that is Node's choice.
    let patience = "--network-family-autoselection-attempt-timeout=10000";
    words(&[
        "env",
        "NODE_EXTRA_CA_CERTS=ca.pem",
        "node",
        patience,
        "-e",
        script,
        name,
    ])
    .collect()
}

fn pull(skopeo: &str, name: &str) -> impl Iterator<Item = String> + use<> {
    let script = "out=$(mktemp -d) && \
        \"$0\" --insecure-policy copy --quiet --preserve-digests \"docker://$1/app:v1\" \"dir:$out\" && \
        cat \"$out/manifest.json\"";
    ["sh", "-c", script, skopeo, name].map(str::to_owned).into_iter()
}

fn chromium(host: &Host, name: &str) -> Vec<String> {
    let options = [
        "chromium-headless-shell",
        // Its sandbox does not work for root.
        "--no-sandbox",
        "--disable-gpu",
        // Nothing but what it is told to ask for.
        "--disable-background-networking",
        "--disable-component-update",
        "--no-first-run",
        "--dump-dom",
    ];
    words(&options)
        .chain([
            format!("--user-data-dir={}", host.fresh("browser").display()),
            format!("https://{name}/1"),
        ])
        .collect()
}
