//! The lab by hand: builds it, says how to use it, and keeps it until Ctrl-C.

use std::io::Write as _;

use anyhow::Result;
use enforcer_lab::{Lab, world};

fn main() -> Result<()> {
    let lab = Lab::start()?;
    lab.publish(&lab.contoso, "app", "v1", &[1_000_000])?;
    let client = lab.client().name();
    let folder = lab.folder().display();
    // Whoever started it may not be reading.
    let _unread = writeln!(
        std::io::stdout(),
        "The lab stands: {client} and its name server {}.\n\
         A shell on the client:       ip netns exec {client} bash\n\
         \x20 with the lab's names:      mount --bind {folder}/resolv.conf /etc/resolv.conf\n\
         \x20 with its certificates:     export SSL_CERT_FILE={folder}/ca.pem\n\
         An image to pull:            docker://{}/app:v1\n\
         Ctrl-C removes all of it.",
        world::NAME_SERVER_ADDRESSES[0],
        world::CONTOSO,
    );
    loop {
        std::thread::park();
    }
}
