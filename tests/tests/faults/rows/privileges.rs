//! Starts that can not go on: beside another, and without what it takes. What is in force stays.

use std::process::Command;

use enforcer_lab::daemon::LIMIT;
use enforcer_lab::{Outcome, load, run_for};

use crate::stage::Stage;
use crate::{Shared, Sizes};

pub(crate) fn second(_sizes: &Sizes, line: &Shared) {
    let mut stage = Stage::new(line);
    let mut daemon = stage.start();
    stage.load();
    for _ in 0..5 {
        let refused = run_for(stage.command(), LIMIT).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{refused}");
        assert!(
            refused.stderr.contains("another enforcer serves the instance")
                && refused.stderr.contains(&daemon.pid().to_string()),
            "{refused}"
        );
    }
    stage.advance();
    stage.follows(&mut daemon);
    stage.finish();
}

pub(crate) fn kernel(_sizes: &Sizes, line: &Shared) {
    let mut stage = Stage::new(line);
    let refused = stage.without(&[]);
    assert!(
        refused.stderr.contains("may not load kernel programs: it lacks"),
        "{refused}"
    );
    assert!(
        stage.connects(load::FOREIGN[0]),
        "it refused, and enforces all the same"
    );
    let mut daemon = stage.start();
    stage.load();
    stage.kill(&mut daemon);
    stage.without(&[]);
    let in_namespace = stage.without(&["unshare", "--cgroup"]);
    assert_eq!(in_namespace.status.code(), Some(1), "{in_namespace}");
    stage.advance();
    let mut daemon = stage.start();
    stage.follows(&mut daemon);
    stage.finish();
}

impl Stage {
    /// A daemon without any capability, behind `before`. It has to refuse, with what is missing and what to do.
    fn without(&self, before: &[&str]) -> Outcome {
        let own = self.command();
        let words = [
            before,
            &["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--"],
        ]
        .concat();
        let mut command: Command = self.lab.client_command(words[0]).unwrap();
        command
            .args(&words[1..])
            .arg(own.get_program())
            .args(own.get_args());
        for (name, value) in own.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        let outcome = run_for(command, LIMIT).unwrap();
        assert_eq!(outcome.status.code(), Some(1), "{outcome}");
        assert!(outcome.stderr.contains("hint: "), "{outcome}");
        outcome
    }
}
