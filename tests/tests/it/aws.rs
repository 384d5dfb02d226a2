//! Secrets and KMS keys, against the AWS stand-in.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_sdk_secretsmanager::Client as SecretsManager;
use lifeboat::ErrorKind;
use lifeboat::aws::{Aws, EncryptionContext, KmsKey};
use lifeboat::model::{DatabaseIdentity, KeyId, VaultId};
use lifeboat::store::ObjectStore;
use lifeboat::store::memory::MemoryStore;
use lifeboat::vault::Vault;
use lifeboat::vault::keys::{MasterKey, Place, SecretKey};
use lifeboat_tests::Bed;
use rand::random;
use secrecy::ExposeSecret;

async fn aws() -> Aws {
    Aws::from(Bed::get().moto().await.sdk_config())
}

/// The ARN of a new secret.
async fn new_secret(value: &str) -> String {
    let client = SecretsManager::new(&Bed::get().moto().await.sdk_config());
    let name = format!("test/{:016x}", random::<u64>());
    let made = client.create_secret().name(name).secret_string(value).send().await.unwrap();
    made.arn.unwrap()
}

async fn new_key(aws: &Aws) -> KmsKey {
    let client = aws_sdk_kms::Client::new(&Bed::get().moto().await.sdk_config());
    let made = client.create_key().send().await.unwrap();
    aws.kms_key(&made.key_metadata.unwrap().key_id).await.unwrap()
}

fn context(database: &str) -> EncryptionContext {
    BTreeMap::from([("vault".to_owned(), "v1".to_owned()), ("database".to_owned(), database.to_owned())])
}

#[tokio::test]
async fn a_secret_is_fetched_whole_or_by_field() {
    let aws = aws().await;
    let json = r#"{"username":"app","password":"hunter2","port":5432}"#;
    let arn = new_secret(json).await;
    for (reference, expected) in [
        (format!("secret:{arn}"), json),
        (format!("secret:{arn}#password"), "hunter2"),
        (format!("secret:{arn}#port"), "5432"),
    ] {
        let secret = aws.secret(&reference.parse().unwrap()).await.unwrap();
        assert_eq!(secret.expose_secret(), expected);
        assert!(!format!("{secret:?}").contains("hunter2"));
    }
    let missing = format!("secret:{arn}#host").parse().unwrap();
    let error = aws.secret(&missing).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(!error.to_json().to_string().contains("hunter2"));
}

#[tokio::test]
async fn a_secret_that_is_not_there_is_a_fault_of_the_configuration() {
    let error = aws().await.secret(&"secret:test/none".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.message().contains("test/none"), "{error}");
    assert!(error.hint_text().unwrap().contains("AWS_REGION"));
}

#[tokio::test]
async fn what_a_key_encrypts_it_decrypts_in_the_same_context_only() {
    let aws = aws().await;
    let key = new_key(&aws).await;
    let ciphertext = key.encrypt(b"data key", &context("shop")).await.unwrap();
    assert_ne!(ciphertext, b"data key");
    let plaintext = key.decrypt(&ciphertext, &context("shop")).await.unwrap();
    assert_eq!(plaintext.as_slice(), b"data key");

    let error = key.decrypt(&ciphertext, &context("other")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Verification, "{error}");
    let mut damaged = ciphertext.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let error = key.decrypt(&damaged, &context("shop")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Verification, "{error}");
}

#[tokio::test]
async fn a_key_that_is_not_there_is_a_fault_of_the_configuration() {
    let key = aws().await.kms_key("11111111-2222-3333-4444-555555555555").await.unwrap();
    let error = key.encrypt(b"data key", &context("shop")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    assert!(error.hint_text().unwrap().contains("AWS_REGION"));
}

fn shop(vault: &Vault) -> DatabaseIdentity {
    DatabaseIdentity {
        vault: vault.id(),
        database: "shop".parse().unwrap(),
        system_identifier: "7".to_owned(),
        database_oid: 5,
        database_name: "shop".to_owned(),
    }
}

#[tokio::test]
async fn a_vault_moves_from_a_key_of_its_own_to_kms_and_back() {
    let aws = aws().await;
    let store: Arc<dyn ObjectStore> = Arc::new(MemoryStore::new());
    let keys = [
        MasterKey::random(),
        MasterKey::Kms(new_key(&aws).await),
        MasterKey::Kms(new_key(&aws).await),
        MasterKey::random(),
    ];
    let vault = Arc::new(Vault::init(Arc::clone(&store), keys[0].clone(), 72, 24).await.unwrap());
    let made = vault.database_or_new(&shop(&vault), false).await.unwrap();
    for pair in keys.windows(2) {
        let newest = Vault::open(Arc::clone(&store), pair[0].clone()).await.unwrap();
        assert_eq!(newest.rewrap(&pair[1]).await.unwrap().wrapped, 1, "{pair:?}");
        // Each that was the master key opens the vault.
        for key in &keys[..=keys.iter().position(|key| std::ptr::eq(key, &pair[1])).unwrap()] {
            let again = Arc::new(Vault::open(Arc::clone(&store), key.clone()).await.unwrap());
            assert_eq!(again.has_newest_master(), std::ptr::eq(key, &pair[1]));
            let opened = again.database(&made.name).await.unwrap();
            assert_eq!(opened.current_keys().id, made.current_keys().id);
        }
    }
}

#[tokio::test]
async fn a_vault_of_a_kms_key_opens_with_that_key_only() {
    let aws = aws().await;
    let (key, other) = (new_key(&aws).await, new_key(&aws).await);
    let store: Arc<dyn ObjectStore> = Arc::new(MemoryStore::new());
    let vault = Arc::new(Vault::init(Arc::clone(&store), MasterKey::Kms(key.clone()), 72, 24).await.unwrap());
    let made = vault.database_or_new(&shop(&vault), false).await.unwrap();

    let again = Arc::new(Vault::open(Arc::clone(&store), MasterKey::Kms(key)).await.unwrap());
    let opened = again.database(&made.name).await.unwrap();
    assert_eq!(opened.current_keys().id, made.current_keys().id);
    for wrong in [MasterKey::Kms(other), MasterKey::random()] {
        let shown = format!("{wrong:?}");
        let error = Vault::open(Arc::clone(&store), wrong).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Configuration | ErrorKind::Verification), "{shown}: {error}");
    }
}

#[tokio::test]
async fn what_kms_wrapped_for_one_database_does_not_unwrap_for_another() {
    let aws = aws().await;
    let master = MasterKey::Kms(new_key(&aws).await);
    let place = |database| Place { vault: VaultId([1; 16]), database, key: KeyId([2; 8]) };
    let wrapped = master.wrap(&SecretKey::random(), place("shop")).await.unwrap();
    assert!(master.unwrap(&wrapped, place("shop")).await.is_ok());
    for other in ["other", ""] {
        assert!(master.unwrap(&wrapped, place(other)).await.is_err(), "{other:?}");
    }
    assert!(MasterKey::random().unwrap(&wrapped, place("shop")).await.is_err());
    assert!(master.to_base64().is_none());
}
