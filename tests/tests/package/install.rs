//! Installing, upgrading, removing and purging, with the real dpkg in a root to throw away. Needs root.

use crate::root::play;

#[test]
fn from_the_installation_to_the_purge() {
    play(
        r#"
        stand_in enforcer ''
        # Installed: enabled, started, and its configuration is a good one in audit mode.
        debian -i /package.deb
        expect_asked 'systemctl --system daemon-reload
deb-systemd-invoke start enforcer.service'
        [ -L /etc/systemd/system/sysinit.target.wants/enforcer.service ] || fail 'not enabled'
        /usr/bin/enforcer check --strict /etc/enforcer/enforcer.toml | grep -q '^mode *audit' || fail 'not in audit mode'
        [ "$(stat -c '%a %U' /usr/bin/enforcer /etc/enforcer/enforcer.toml | tr '\n' ' ')" = '755 root 644 root ' ] || fail modes
        dpkg --verify enforcer || fail 'files are not as packaged'

        # Upgraded: restarted, never stopped before, and what the administrator wrote is kept.
        echo '# mine' >> /etc/enforcer/enforcer.toml
        debian -i /package.deb
        expect_asked 'systemctl --system daemon-reload
deb-systemd-invoke restart enforcer.service'
        grep -q '^# mine' /etc/enforcer/enforcer.toml || fail 'the configuration was replaced'

        # Removed: stopped, and only then is every instance detached. Configuration and state stay.
        mkdir -p /sys/fs/bpf/enforcer/host /sys/fs/bpf/enforcer/second /var/lib/enforcer/host
        debian -r enforcer > /said
        cat /said
        expect_asked 'deb-systemd-invoke stop enforcer.service
ischroot 
enforcer detach --yes --instance host
enforcer detach --yes --instance second
systemctl --system daemon-reload'
        grep -q 'enforcer: host: nothing is enforced any more' /said || fail 'it did not say so'
        [ "$(state)" = config-files ] || fail "it is $(state)"
        [ ! -e /usr/bin/enforcer ] || fail 'the program is still there'
        [ -e /etc/enforcer/enforcer.toml ] && [ -d /var/lib/enforcer/host ] || fail 'removing took too much'

        # Purged: nothing is left.
        touch /etc/enforcer/enforcer.toml.dpkg-old
        debian -P enforcer
        for left in /etc/enforcer /var/lib/enforcer /run/enforcer /etc/systemd/system/sysinit.target.wants/enforcer.service; do
            [ ! -e "$left" ] && [ ! -L "$left" ] || fail "$left is left"
        done
        [ -z "$(find /var/lib/systemd -name '*enforcer*')" ] || fail 'the helper still knows the unit'
        "#,
    );
}

#[test]
fn what_can_not_be_detached_is_said_and_keeps_nobody_from_removing() {
    let outcome = play(
        r#"
        debian -i /package.deb
        mkdir -p /sys/fs/bpf/enforcer/host
        stand_in enforcer 'echo "error: no such luck" >&2; exit 1'
        debian -r enforcer
        [ "$(state)" = config-files ] || fail "it is $(state)"
        "#,
    );
    for words in [
        "enforcer: host: WHAT IS ENFORCED STAYS IN FORCE",
        "error: no such luck",
        "rm -r /sys/fs/bpf/enforcer/host",
    ] {
        assert!(outcome.stdout.contains(words), "{words}: {outcome}");
    }
}

#[test]
fn a_chroot_does_not_end_what_the_host_around_it_enforces() {
    play(
        r#"
        stand_in enforcer ''
        stand_in ischroot 'exit 0'
        rm -r /run/systemd
        mkdir -p /sys/fs/bpf/enforcer/host
        debian -i /package.deb
        debian -r enforcer
        expect_asked 'ischroot '
        "#,
    );
}

#[test]
fn a_service_that_does_not_start_is_said_and_leaves_the_package_installed() {
    let outcome = play(
        r#"
        stand_in deb-systemd-invoke 'exit 1'
        debian -i /package.deb
        [ "$(state)" = installed ] || fail "it is $(state)"
        "#,
    );
    assert!(
        outcome
            .stdout
            .contains("the service did not start; see: systemctl status enforcer"),
        "{outcome}"
    );
}

#[test]
fn an_administrator_who_disabled_the_service_is_heard_at_the_upgrade() {
    play(
        r#"
        debian -i /package.deb
        rm /etc/systemd/system/sysinit.target.wants/enforcer.service
        debian -i /package.deb
        [ ! -L /etc/systemd/system/sysinit.target.wants/enforcer.service ] || fail 'enabled again'
        "#,
    );
}

#[test]
fn files_that_the_administrator_added_outlive_the_purge() {
    let outcome = play(
        r#"
        debian -i /package.deb
        echo '{}' > /etc/enforcer/contoso-endpoints.json
        debian -P enforcer
        [ -e /etc/enforcer/contoso-endpoints.json ] || fail 'it is gone'
        "#,
    );
    assert!(
        outcome
            .stdout
            .contains("/etc/enforcer has files that no package owns, and stays"),
        "{outcome}"
    );
}
