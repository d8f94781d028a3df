//! Container images made by hand: an OCI layout with layers of any size, so that nothing is downloaded.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// An image on disk, for `skopeo copy oci:<folder>:<tag>`.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its OCI layout.
    pub folder: PathBuf,
    /// Its tag in the layout.
    pub tag: String,
    /// Digests of its layers (`sha256:..`), in their order.
    pub layers: Vec<String>,
}

impl Image {
    /// Writes an image to `folder`, with a layer of each size, in bytes. The same `seed` gives the same bytes.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write(folder: &Path, tag: &str, layer_sizes: &[usize], seed: u64) -> Result<Self> {
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs).with_context(|| format!("{} cannot be made", blobs.display()))?;
        let mut layers = Vec::new();
        for (number, &size) in (1..).zip(layer_sizes) {
            let kind = "application/vnd.oci.image.layer.v1.tar+gzip";
            layers.push(blob(
                &blobs,
                kind,
                &noise(size, seed.wrapping_mul(1000).wrapping_add(number)),
            )?);
        }
        let digests: Vec<String> = layers.iter().map(digest_of).collect();
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": {},
            "rootfs": { "type": "layers", "diff_ids": digests },
        });
        let config = blob(
            &blobs,
            "application/vnd.oci.image.config.v1+json",
            &serde_json::to_vec(&config)?,
        )?;
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({ "schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers });
        let mut manifest = blob(&blobs, kind, &serde_json::to_vec(&manifest)?)?;
        manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
        let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
        fs::write(folder.join("index.json"), serde_json::to_vec(&index)?)?;
        fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
        Ok(Self {
            folder: folder.to_path_buf(),
            tag: tag.to_owned(),
            layers: digests,
        })
    }

    /// Whether `folder`, which `skopeo copy .. dir:<folder>` wrote, holds every layer of the image, whole.
    #[must_use]
    pub fn is_in(&self, folder: &Path) -> bool {
        self.layers.iter().all(|digest| {
            let name = digest.trim_start_matches("sha256:");
            fs::read(folder.join(name)).is_ok_and(|bytes| hex_digest(&bytes) == name)
        })
    }

    /// The image as skopeo names it.
    #[must_use]
    pub fn reference(&self) -> String {
        format!("oci:{}:{}", self.folder.display(), self.tag)
    }
}

/// Writes a blob and gives its descriptor.
fn blob(folder: &Path, media_type: &str, bytes: &[u8]) -> Result<Value> {
    let digest: String = Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    fs::write(folder.join(&digest), bytes)?;
    Ok(json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len() }))
}

fn hex_digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn digest_of(descriptor: &Value) -> String {
    descriptor["digest"].as_str().unwrap_or_default().to_owned()
}

/// Bytes that no compression makes smaller (xorshift64*).
fn noise(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_image_and_another_another() {
        let folder = tempfile::tempdir().unwrap();
        let one = Image::write(&folder.path().join("1"), "v1", &[1000, 5], 7).unwrap();
        let same = Image::write(&folder.path().join("2"), "v1", &[1000, 5], 7).unwrap();
        let other = Image::write(&folder.path().join("3"), "v1", &[1000, 5], 8).unwrap();
        assert_eq!(one.layers, same.layers);
        assert_ne!(one.layers[0], other.layers[0]);
        let name = one.layers[0].strip_prefix("sha256:").unwrap();
        let written = fs::metadata(one.folder.join("blobs/sha256").join(name)).unwrap();
        assert_eq!(written.len(), 1000);
    }
}
