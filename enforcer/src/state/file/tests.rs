use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;

use super::*;

const FORMAT: Format = Format {
    name: "answers",
    version: 1,
};

fn folder() -> (tempfile::TempDir, PathBuf) {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("enforcer/host");
    (outer, folder)
}

fn files(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_file_is_replaced_whole_and_is_for_its_owner_alone() {
    let (outer, folder) = folder();
    assert_eq!(load::<u32>(&folder, FORMAT), Ok(None));
    for number in 0..3_u32 {
        save(&folder, FORMAT, &number).unwrap();
        assert_eq!(load(&folder, FORMAT), Ok(Some(number)));
    }
    assert_eq!(files(&folder), ["answers"]);
    assert_eq!(mode(&folder.join("answers")), 0o600);
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&outer.path().join("enforcer")), 0o700);
    assert_eq!(remove(&folder, FORMAT), Ok(true));
    assert_eq!(remove(&folder, FORMAT), Ok(false));
    assert_eq!(load::<u32>(&folder, FORMAT), Ok(None));
}

#[test]
fn what_a_killed_process_left_behind_is_ignored_and_removed() {
    let (_outer, folder) = folder();
    save(&folder, FORMAT, &1_u32).unwrap();
    fs::write(folder.join(".answers.4711.new"), b"enforcer answers 1 9").unwrap();
    fs::write(folder.join(".configuration.4711.new"), b"of another file").unwrap();
    assert_eq!(load(&folder, FORMAT), Ok(Some(1_u32)));
    save(&folder, FORMAT, &2_u32).unwrap();
    assert_eq!(load(&folder, FORMAT), Ok(Some(2_u32)));
    let mut left = files(&folder);
    left.sort();
    assert_eq!(left, [".configuration.4711.new", "answers"]);
}

#[test]
fn what_is_no_regular_file_is_not_read() {
    let (_outer, folder) = folder();
    save(&folder, FORMAT, &1_u32).unwrap();
    let path = folder.join("answers");
    let why = || load::<u32>(&folder, FORMAT).unwrap_err().why;

    let elsewhere = folder.join("elsewhere");
    fs::rename(&path, &elsewhere).unwrap();
    symlink(&elsewhere, &path).unwrap();
    assert_eq!(why(), ReadError::Symlink);
    // Writing replaces the link, not what it leads to.
    save(&folder, FORMAT, &2_u32).unwrap();
    assert_eq!(load(&folder, FORMAT), Ok(Some(2_u32)));
    assert_eq!(read(&elsewhere).unwrap().unwrap().last(), Some(&b'1'));

    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(why(), ReadError::NotRegular);
    fs::remove_dir(&path).unwrap();
    let _socket = UnixListener::bind(&path).unwrap();
    assert_eq!(why(), ReadError::NotRegular);
    fs::remove_file(&path).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    assert_eq!(why(), ReadError::NotRegular, "and a pipe is not waited for");
}

#[test]
fn a_file_that_is_too_large_is_not_read() {
    let (_outer, folder) = folder();
    save(&folder, FORMAT, &1_u32).unwrap();
    let file = OpenOptions::new()
        .write(true)
        .open(folder.join("answers"))
        .unwrap();
    file.set_len(1 << 40).unwrap();
    let defect = load::<u32>(&folder, FORMAT).unwrap_err();
    assert_eq!(defect.why, ReadError::Form(FormError::TooLarge));
    assert!(
        defect
            .to_string()
            .ends_with("answers can not be used: it is larger than 64 MiB")
    );
}

#[test]
fn a_folder_that_vanished_is_made_again() {
    let (outer, folder) = folder();
    save(&folder, FORMAT, &1_u32).unwrap();
    fs::remove_dir_all(outer.path().join("enforcer")).unwrap();
    assert_eq!(load::<u32>(&folder, FORMAT), Ok(None));
    save(&folder, FORMAT, &2_u32).unwrap();
    assert_eq!(load(&folder, FORMAT), Ok(Some(2_u32)));
}

#[test]
fn a_folder_that_is_a_file_is_said_and_left_alone() {
    let (outer, folder) = folder();
    fs::create_dir(outer.path().join("enforcer")).unwrap();
    fs::write(&folder, b"mine").unwrap();
    assert_eq!(
        save(&folder, FORMAT, &1_u32),
        Err(WriteError::NotFolder(folder.clone()))
    );
    let deeper = folder.join("deeper");
    let error = save(&deeper, FORMAT, &1_u32).unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "the folder {} can not be made: a part of its path is no folder",
            deeper.display()
        )
    );
    assert_eq!(fs::read(&folder).unwrap(), b"mine");
    assert!(load::<u32>(&folder, FORMAT).is_err());
}
