use super::*;

const ID: &str = "4f1c9dd3a0b8e7f65544332211009988776655443322110099aabbccddeeff00";
const POD: &str = "6d7c7c10-5c1e-4a57-8fd1-2f5e0c6f9a11";

/// Paths, and what must be read in each.
const PATHS: &str = include_str!("paths.txt");

#[test]
fn real_paths_are_understood() {
    let filled = PATHS
        .replace("UNDERSCORED", &POD.replace('-', "_"))
        .replace("POD", POD)
        .replace("ID", ID);
    let mut lines = filled
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .peekable();
    let mut count = 0;
    while let Some(path) = lines.next() {
        let mut expected = Owner {
            cgroup: Some(path.to_owned()),
            ..Owner::default()
        };
        while let Some(line) = lines.next_if(|line| line.starts_with("  ")) {
            match line.trim_start().split_once(": ") {
                Some(("unit", unit)) => expected.unit = Some(unit.to_owned()),
                Some(("user unit", unit)) => expected.user_unit = Some(unit.to_owned()),
                Some(("container", container)) => {
                    let (runtime, id) = container.split_once(' ').unwrap_or((container, ID));
                    expected.container = Some(Container {
                        runtime: runtime.to_owned(),
                        id: id.to_owned(),
                    });
                }
                Some(("pod", pod)) => expected.pod = Some(pod.to_owned()),
                _ => panic!("`{line}` of {path} says nothing that can be read"),
            }
        }
        assert_eq!(of_path(path), expected);
        count += 1;
    }
    assert_eq!(count, 34);
}

#[test]
fn a_name_can_not_write_into_a_terminal() {
    let owner = of_path("/a\u{1b}[2J/b\n.service");
    assert_eq!(owner.unit.as_deref(), Some("b\u{fffd}.service"));
    assert!(!owner.cgroup.unwrap().contains('\u{1b}'));
}
