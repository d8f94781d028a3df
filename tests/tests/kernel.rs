//! The programs in the running kernel: do they load, and do they judge as the host does.

use enforcer::config::RuleId;
use enforcer::kernel::{Enforcement, Settings};
use enforcer::policy::table::{Grant, TableImage};

#[test]
fn smoke() {
    let mut e = Enforcement::load(&[443]).unwrap();
    let mut frame = vec![0u8; 14];
    frame[12] = 8;
    let mut ip = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 192, 0, 2, 1];
    let mut tcp = vec![0u8; 20];
    tcp[2..4].copy_from_slice(&443u16.to_be_bytes());
    frame.append(&mut ip);
    frame.append(&mut tcp);
    assert!(!e.test_packet(&frame).unwrap());
    let image = TableImage::build(&[Grant {
        net: "192.0.2.0/30".parse().unwrap(),
        rule: RuleId(1),
        by_name: false,
    }])
    .unwrap();
    e.publish(&image, Settings::default()).unwrap();
    assert!(e.test_packet(&frame).unwrap());
    println!("{:?}", e.test_packet_repeated(&frame, 1_000_000));
    frame[36..38].copy_from_slice(&80u16.to_be_bytes());
    println!("other port {:?}", e.test_packet_repeated(&frame, 1_000_000));
    println!("{:?}", e.counters().unwrap());
}
