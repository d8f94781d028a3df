//! What an operator begins, confirms and ends.

use std::time::Duration;

use enforcer_lab::daemon::{Daemon, wait_until};
use enforcer_lab::load;

use crate::stage::{JUDGES, Stage};
use crate::{Shared, Sizes};

/// The time that is given to confirm, and one that is surely longer.
const GIVEN: &str = "2s";
const LONGER: Duration = Duration::from_secs(3);

/// Without a word it reverts to audit, with the daemon or without it; with one it stays, for good.
pub(crate) fn confirm(_sizes: &Sizes, line: &Shared) {
    let stage = Stage::new(line);
    let mut daemon = stage.start_unconfirmed();
    daemon.wait_for("nobody confirmed in time");
    assert!(stage.connects(load::FOREIGN[0]));
    stage.kill(&mut daemon);
    // A restart is no confirmation, and no new time either.
    let mut daemon = stage.start_unconfirmed();
    assert!(stage.connects(load::FOREIGN[0]));
    stage.confirm();
    assert!(!stage.connects(load::FOREIGN[0]), "it was confirmed, if late");
    daemon.wait_for("confirmed: the policy is enforced from here on");
    stage.stays_confirmed(&mut daemon);
    drop(stage);

    let stage = Stage::new(line);
    stage.kill(&mut stage.start_unconfirmed());
    wait_until("audit, without a daemon", || stage.connects(load::FOREIGN[0]));
    drop(stage);

    // In time, or nearly so on a busy machine.
    let stage = Stage::new(line);
    let mut daemon = stage.start_unconfirmed();
    stage.confirm();
    stage.stays_confirmed(&mut daemon);
}

impl Stage {
    fn start_unconfirmed(&self) -> Daemon {
        let mut command = self.command();
        command.args(["--confirm", GIVEN]);
        let mut daemon = Daemon::spawn(command).unwrap();
        daemon.wait_for(JUDGES);
        daemon
    }

    fn confirm(&self) {
        let said = self.enforcer(&["confirm"]).expect_success("confirm");
        assert!(said.stdout.contains("is enforced from here on"), "{said}");
    }

    fn stays_confirmed(&self, daemon: &mut Daemon) {
        std::thread::sleep(LONGER);
        assert!(!self.connects(load::FOREIGN[0]), "beside the daemon");
        self.kill(daemon);
        assert!(!self.connects(load::FOREIGN[0]), "without a daemon");
        *daemon = self.start_unconfirmed();
        std::thread::sleep(LONGER);
        assert!(!self.connects(load::FOREIGN[0]), "after a restart");
        self.follows(daemon);
        for address in load::NAMED.into_iter().chain(load::PLAIN) {
            assert!(self.connects(address), "{address}");
        }
    }
}

/// It takes a word, no daemon beside it, and is loud.
pub(crate) fn detach(_sizes: &Sizes, line: &Shared) {
    let mut stage = Stage::new(line);
    let mut daemon = stage.start();
    stage.load();
    let refused = stage.enforcer(&["detach", "--yes"]);
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    assert!(refused.stderr.contains("hint: "), "{refused}");
    stage.kill(&mut daemon);
    let refused = stage.enforcer(&["detach"]);
    assert!(
        !refused.success() && refused.stderr.contains("--yes"),
        "{refused}"
    );
    stage.advance();
    stage.finish();
    let done = stage.enforcer(&["detach", "--yes"]).expect_success("detach");
    assert!(done.stderr.contains("nothing is enforced any more"), "{done}");
    assert!(stage.connects(load::FOREIGN[0]) && !stage.instance.pins().exists());
    let again = stage.enforcer(&["detach", "--yes"]);
    assert!(again.stdout.contains("nothing is attached"), "{again}");
    // It can begin anew.
    let _daemon = stage.start();
    assert!(!stage.connects(load::FOREIGN[0]));
}
