//! What the client of Google's store and its simulation agree on, beyond what a sync needs.

use futures::TryStreamExt as _;
use object_store::gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder};
use object_store::path::Path;
use object_store::{
    Error, MultipartUpload as _, ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions, UpdateVersion,
};

use crate::support::google::{google, key_file};

fn client(bucket: &str, key_file: &str) -> GoogleCloudStorage {
    google().make(bucket);
    GoogleCloudStorageBuilder::new()
        .with_bucket_name(bucket)
        .with_service_account_key(key_file)
        .build()
        .unwrap()
}

fn endpoint() -> String {
    format!("http://127.0.0.1:{}", google().port)
}

#[tokio::test]
async fn an_object_is_made_and_replaced_on_condition_only() {
    let store = client("conditions", &key_file(&endpoint()));
    let path = Path::from("a b/ü&<1>");
    let put = |text: &'static str, mode: PutMode| store.put_opts(&path, text.into(), PutOptions::from(mode));
    let first = put("one", PutMode::Create).await.unwrap();
    assert!(matches!(put("two", PutMode::Create).await, Err(Error::AlreadyExists { .. })));
    let version = UpdateVersion { e_tag: first.e_tag, version: first.version };
    put("three", PutMode::Update(version.clone())).await.unwrap();
    assert!(matches!(put("four", PutMode::Update(version)).await, Err(Error::Precondition { .. })));
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "three");
    assert_eq!(store.get_range(&path, 1..3).await.unwrap(), "hr");
    assert!(store.get_range(&path, 9..12).await.is_err());
    assert_eq!(store.list(None).try_collect::<Vec<_>>().await.unwrap()[0].location, path);
    store.delete(&path).await.unwrap();
    assert!(matches!(store.head(&path).await, Err(Error::NotFound { .. })));
    put("five", PutMode::Create).await.unwrap();
}

#[tokio::test]
async fn pages_of_a_listing_leave_nothing_out() {
    let store = client("pages", &key_file(&endpoint()));
    for number in 0..2500 {
        let path = Path::from(format!("{}/{number:04}", if number % 2 == 0 { "even" } else { "odd" }));
        store.put(&path, "x".into()).await.unwrap();
    }
    let all: Vec<_> = store.list(None).try_collect().await.unwrap();
    let even: Vec<_> = store.list(Some(&Path::from("even"))).try_collect().await.unwrap();
    let after = store.list_with_offset(Some(&Path::from("even")), &Path::from("even/2000"));
    let after: Vec<_> = after.try_collect().await.unwrap();
    assert_eq!((all.len(), even.len(), after.len()), (2500, 1250, 249));
    let folders = store.list_with_delimiter(None).await.unwrap();
    assert_eq!(folders.common_prefixes, [Path::from("even"), Path::from("odd")]);
    assert!(folders.objects.is_empty());
}

#[tokio::test]
async fn a_large_file_goes_up_in_parts_of_a_least_size() {
    let store = client("parts", &key_file(&endpoint()));
    for (sizes, fits) in [(vec![5 << 20, 5 << 20, 3], true), (vec![3, 5 << 20], false)] {
        let path = Path::from(format!("{sizes:?}"));
        let mut upload = store.put_multipart(&path).await.unwrap();
        for (number, size) in sizes.iter().enumerate() {
            upload.put_part(vec![number as u8; *size].into()).await.unwrap();
        }
        assert!(matches!(store.head(&path).await, Err(Error::NotFound { .. })), "not before its end");
        assert_eq!(upload.complete().await.is_ok(), fits, "{sizes:?}");
        let written = store.get(&path).await;
        assert_eq!(written.is_ok(), fits);
        if let Ok(written) = written {
            let expected: Vec<u8> =
                sizes.iter().enumerate().flat_map(|(number, size)| vec![number as u8; *size]).collect();
            assert!(written.bytes().await.unwrap() == expected);
        }
    }
    let mut upload = store.put_multipart(&Path::from("given up")).await.unwrap();
    upload.put_part("x".into()).await.unwrap();
    upload.abort().await.unwrap();
    assert!(upload.complete().await.is_err());
}

#[tokio::test]
async fn a_login_that_the_account_did_not_sign_is_refused() {
    let foreign = key_file(&endpoint()).replace("tributary@", "somebody@");
    let refused = client("logins", &foreign).put(&Path::from("a"), "x".into()).await;
    assert!(matches!(refused, Err(Error::Unauthenticated { .. })), "{refused:?}");
}
