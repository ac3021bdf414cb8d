//! Copying a folder, such as that of an image.

use crate::program::{Program, Volume};
use std::os::unix::fs::symlink;

fn copy(from: &Volume, to: &Volume) -> Program {
    Program::new().args(["copy", from.root.to_str().unwrap()]).to(&to.root)
}

#[tokio::test]
async fn a_folder_is_copied_completely_and_only_once() {
    let (from, to) = (Volume::new(), Volume::new());
    from.put("config.json", b"{}");
    from.put("sub/m.bin", &[7; 100_000]);
    symlink("sub/m.bin", from.root.join("model.bin")).unwrap();
    copy(&from, &to).succeed().await;
    assert_eq!(to.files(), from.files());
    let made = |name: &str| std::fs::metadata(to.root.join(name)).unwrap().modified().unwrap();
    let before = made("sub/m.bin");
    copy(&from, &to).succeed().await;
    assert_eq!(made("sub/m.bin"), before);
}

#[tokio::test]
async fn files_that_an_image_no_longer_has_are_removed() {
    let (from, to) = (Volume::new(), Volume::new());
    from.put("old.bin", b"old");
    from.put("both.bin", b"1");
    copy(&from, &to).succeed().await;
    std::fs::remove_file(from.root.join("old.bin")).unwrap();
    from.put("both.bin", b"2");
    copy(&from, &to).succeed().await;
    assert_eq!(to.files(), from.files());
}

#[tokio::test]
async fn a_link_out_of_the_folder_is_not_followed() {
    let (from, to, outside) = (Volume::new(), Volume::new(), Volume::new());
    outside.put("secret", b"secret");
    from.put("m.bin", b"m");
    symlink(outside.root.join("secret"), from.root.join("link")).unwrap();
    let output = copy(&from, &to).fail(65).await;
    assert!(output.reason.contains("link out of the folder"), "{}", output.reason);
    assert_eq!(to.files().len(), 0);
}

#[tokio::test]
async fn a_missing_folder_is_named_in_the_error() {
    let (from, to) = (Volume::new(), Volume::new());
    assert!(copy(&from, &to).fail(73).await.reason.contains("opening"));
}
