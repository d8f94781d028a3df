//! The lab by hand: builds it, says how to use it, and keeps it until Ctrl-C.

use anyhow::Result;
use enforcer_lab::{Lab, world};

fn main() -> Result<()> {
    let lab = Lab::start()?;
    lab.publish(&lab.contoso, "app", "v1", &[1_000_000])?;
    println!(
        "The lab stands: {} and its name server {}.",
        lab.client().name(),
        world::NAME_SERVER_ADDRESSES[0]
    );
    println!(
        "A shell on the client:       ip netns exec {} bash",
        lab.client().name()
    );
    println!(
        "  with the lab's names:      mount --bind {}/resolv.conf /etc/resolv.conf",
        lab.folder().display()
    );
    println!(
        "  with its certificates:     export SSL_CERT_FILE={}/ca.pem",
        lab.folder().display()
    );
    println!("An image to pull:            docker://{}/app:v1", world::CONTOSO);
    println!("Ctrl-C removes all of it.");
    loop {
        std::thread::park();
    }
}
