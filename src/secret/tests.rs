use super::*;

fn keyring(folder: &tempfile::TempDir) -> Keyring {
    Keyring::from_environment_or_file(None, &folder.path().join("key")).unwrap()
}

#[test]
fn a_secret_comes_back_from_a_key_file_that_survives_restarts() {
    let folder = tempfile::tempdir().unwrap();
    for text in ["", "hunter2", "päss\u{0}wörd"] {
        let sealed = keyring(&folder).seal("acme", 7, "password", 3, &Secret::new(text.into())).unwrap();
        let opened = keyring(&folder).unseal("acme", 7, "password", 3, &sealed).unwrap();
        assert_eq!(opened.expose(), text);
        assert_eq!(sealed.len(), 1 + ENVELOPE_LEN + NONCE_LEN + text.len() + TAG_LEN);
    }
    let path = folder.path().join("key");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_to_string(&path).unwrap().len(), 45);
}

#[test]
fn sealing_twice_gives_different_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (keyring, secret) = (keyring(&folder), Secret::new("same".into()));
    let seal = || keyring.seal("acme", 1, "token", 1, &secret).unwrap();
    assert_ne!(seal(), seal());
}

#[test]
fn a_change_of_any_byte_or_of_the_length_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let keyring = keyring(&folder);
    let sealed = keyring.seal("acme", 7, "password", 3, &Secret::new("hunter2".into())).unwrap();
    for i in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[i] ^= 1;
        assert!(keyring.unseal("acme", 7, "password", 3, &changed).is_err(), "byte {i}");
        assert!(keyring.unseal("acme", 7, "password", 3, &sealed[..i]).is_err(), "first {i} bytes");
    }
    let longer = [sealed.as_slice(), &[0]].concat();
    assert_eq!(keyring.unseal("acme", 7, "password", 3, &longer).unwrap_err().kind(), Kind::Corrupt);
}

#[test]
fn a_secret_moved_to_another_place_or_key_does_not_open() {
    let folder = tempfile::tempdir().unwrap();
    let keyring = keyring(&folder);
    let sealed = keyring.seal("ab", 7, "cd", 3, &Secret::new("hunter2".into())).unwrap();
    assert!(keyring.unseal("ab", 7, "cd", 3, &sealed).is_ok());
    for (company, connection, field, version) in
        [("ax", 7, "cd", 3), ("ab", 8, "cd", 3), ("ab", 7, "cx", 3), ("ab", 7, "cd", 4), ("abc", 7, "d", 3)]
    {
        assert!(keyring.unseal(company, connection, field, version, &sealed).is_err());
    }
    let other = tempfile::tempdir().unwrap();
    assert!(self::keyring(&other).unseal("ab", 7, "cd", 3, &sealed).is_err());
}

#[test]
fn a_key_file_that_others_can_read_is_refused_with_the_command_that_helps() {
    let folder = tempfile::tempdir().unwrap();
    keyring(&folder);
    let path = folder.path().join("key");
    for mode in [0o640, 0o604, 0o620] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let error = Keyring::from_environment_or_file(None, &path).unwrap_err();
        assert_eq!(error.hint(), Some(format!("chmod 600 {}", path.display()).as_str()));
    }
}

#[test]
fn a_garbled_or_missing_place_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    for text in ["", "hello", "AAAA\n", "\u{e9}"] {
        drop(std::fs::remove_file(&path));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let error = Keyring::from_environment_or_file(None, &path).unwrap_err();
        assert!(error.what().contains(path.to_str().unwrap()), "{error}");
    }
    let nowhere = folder.path().join("missing").join("key");
    let error = Keyring::from_environment_or_file(None, &nowhere).unwrap_err();
    assert!(error.what().contains(nowhere.to_str().unwrap()));
    assert!(Keyring::from_environment_or_file(None, folder.path()).is_err());
}

#[test]
fn a_key_in_the_environment_wins_and_writes_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let open = |text: &str| Keyring::from_environment_or_file(Some(Zeroizing::new(text.into())), &path);
    let text = BASE64.encode([7; 32]);
    let sealed = open(&text).unwrap().seal("a", 1, "b", 1, &Secret::new("x".into())).unwrap();
    assert!(!path.exists());
    assert_eq!(open(&text).unwrap().unseal("a", 1, "b", 1, &sealed).unwrap().expose(), "x");
    for bad in ["", "AAAA", "not base64"] {
        assert!(open(bad).unwrap_err().what().contains(KEY_VARIABLE));
    }
}

#[test]
fn nothing_prints_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let secret = Secret::new("hunter2".into());
    assert_eq!(format!("{secret:?} {secret} {:?}", keyring(&folder)), "*** *** Keyring(***)");
}
