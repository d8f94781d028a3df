//! A large image, pulled with and without an enforcer.

use std::time::Duration;

use enforcer_lab::{run_for, world};

use crate::host::{Host, LIMIT};

/// Four layers of 50 MB, of which skopeo fetches several at a time.
const LAYERS: [usize; 4] = [50_000_000; 4];

#[test]
fn a_large_image_arrives_whole_with_and_without_an_enforcer() {
    let host = Host::new();
    let image = host
        .lab
        .publish(&host.lab.contoso, "large", "v1", &LAYERS)
        .unwrap();
    let folder = host.lab.folder().join("large");
    let words = |skopeo: &str| {
        let mut words = vec![skopeo.to_owned()];
        words.extend(
            host.lab
                .pull_arguments(&format!("{}/large:v1", world::CONTOSO), &folder),
        );
        words
    };
    for judged in [false, true] {
        let words = words("skopeo");
        let (outcome, took) = if judged {
            let asked = host.judge("enforce.toml", &words);
            assert_eq!(asked.report["denied"], 0, "{:#}", asked.report);
            // Without what the enforcer does before it starts the command.
            let took = asked.report["duration_ms"].as_u64().expect("a number");
            (asked.outcome, Duration::from_millis(took))
        } else {
            let mut command = host.lab.client_command(&words[0]).unwrap();
            command.args(&words[1..]);
            let outcome = run_for(command, LIMIT).unwrap();
            let took = outcome.took;
            (outcome, took)
        };
        let outcome = outcome.expect_success("the pull");
        assert!(image.is_in(&folder), "{outcome}");
        std::fs::remove_dir_all(&folder).unwrap();
        let bytes: usize = LAYERS.iter().sum();
        println!(
            "{:<18} {:>6} ms, {:>4} MB/s",
            if judged {
                "under the policy"
            } else {
                "without enforcer"
            },
            took.as_millis(),
            bytes as u128 / took.as_micros().max(1)
        );
    }
}
