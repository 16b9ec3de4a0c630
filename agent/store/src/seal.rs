//! Keys, and the sealing of what lies on flash: XChaCha20-Poly1305 under random nonces.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use chacha20poly1305::aead::{AeadInPlace, KeyInit};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

const NONCE: usize = 24;
const TAG: usize = 16;
/// Bytes that sealing adds.
pub(crate) const SEALING: usize = NONCE + TAG;

/// Fills a buffer with random bytes of the system; nonces and keys come from it.
pub type Entropy = Box<dyn FnMut(&mut [u8]) + Send>;

/// The keys from outside under which a store's own key is wrapped, and what it is bound to.
///
/// The first key wraps, the others only open: a store that one of them opened is wrapped anew.
/// With the same key and another binding a store is foreign.
#[derive(Clone)]
pub struct OuterKeys {
    keys: Vec<SealKey>,
    /// The first wraps.
    bindings: Vec<Vec<u8>>,
    /// Opens a store that is bound to nothing.
    unbound: bool,
}

impl OuterKeys {
    /// Wraps and opens with `key`, bound to nothing.
    pub fn new(key: [u8; 32]) -> Self {
        let keys = alloc::vec![SealKey::from_bytes(key)];
        Self { keys, bindings: alloc::vec![Vec::new()], unbound: false }
    }

    /// Opens with `key`, too.
    #[must_use]
    pub fn or(mut self, key: [u8; 32]) -> Self {
        self.keys.push(SealKey::from_bytes(key));
        self
    }

    /// Ties the store to `device` (a serial number, a machine id).
    #[must_use]
    pub fn bound_to(mut self, device: &[u8]) -> Self {
        self.bindings[0] = device.to_vec();
        self
    }

    /// Opens a store that is bound to `device`, too, which then stays bound to that.
    #[must_use]
    pub fn or_bound_to(mut self, device: &[u8]) -> Self {
        self.bindings.push(device.to_vec());
        self
    }

    /// Opens a store that is bound to nothing, too, and binds it from then on.
    #[must_use]
    pub fn or_unbound(mut self) -> Self {
        self.unbound = true;
        self
    }

    pub(crate) fn wrap(&self, key: &SealKey, ad: &[u8], entropy: &mut Entropy) -> Vec<u8> {
        let ad = [ad, &self.bindings[0]].concat();
        let mut out = Vec::new();
        self.keys[0].seal(&*key.0, &ad, entropy, &mut out);
        out
    }

    /// Opens a wrapped key. From then on this wraps with the binding that opened it.
    pub(crate) fn unwrap(&mut self, wrapped: &[u8], ad: &[u8]) -> Option<Unwrapped> {
        let none = (self.unbound && !self.bindings[0].is_empty()).then(Vec::new);
        for (binding, bound) in self.bindings.iter().chain(&none).enumerate() {
            let ad = [ad, bound].concat();
            for (number, outer) in self.keys.iter().enumerate() {
                let Some(bytes) = outer.open(wrapped.to_vec(), &ad) else { continue };
                let key = SealKey(Zeroizing::new(<[u8; 32]>::try_from(bytes.as_slice()).ok()?));
                let unbound = binding == self.bindings.len();
                let binding = if unbound { 0 } else { binding };
                self.bindings.swap(0, binding);
                return Some(Unwrapped { key, binding, is_stale: number > 0 || unbound });
            }
        }
        None
    }
}

/// A store's key as it was found.
pub(crate) struct Unwrapped {
    pub(crate) key: SealKey,
    /// Which binding it has: 0 for the one that wraps, else the number of an added one.
    pub(crate) binding: usize,
    /// It is wrapped otherwise than a new store's would be.
    pub(crate) is_stale: bool,
}

impl fmt::Debug for OuterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OuterKeys({})", self.keys.len())
    }
}

/// The key that seals one queue's records. Destroying every copy makes them unreadable.
pub type QueueKey = SealKey;

/// A 32-byte key; wiped from memory when dropped, never shown.
#[derive(Clone)]
pub struct SealKey(Zeroizing<[u8; 32]>);

impl SealKey {
    /// A new random key.
    pub fn random(entropy: &mut Entropy) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        entropy(&mut *key);
        Self(key)
    }

    /// The key with these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, to keep them in a token store.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// Appends nonce, sealed `plain` and tag to `out`.
    pub(crate) fn seal(&self, plain: &[u8], ad: &[u8], entropy: &mut Entropy, out: &mut Vec<u8>) {
        self.seal_with(plain.len(), ad, entropy, out, |out| out.extend(plain));
    }

    /// The same for `len` plain bytes that `write` appends: they are sealed where they lie.
    pub(crate) fn seal_with(
        &self,
        len: usize,
        ad: &[u8],
        entropy: &mut Entropy,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let mut nonce = [0; NONCE];
        entropy(&mut nonce);
        // No plain bytes are left behind in a buffer that was outgrown.
        out.reserve_exact(len + SEALING);
        out.extend(nonce);
        let from = out.len();
        write(out);
        let sealed = self.cipher().encrypt_in_place_detached(
            XNonce::from_slice(&nonce),
            ad,
            &mut out[from..],
        );
        match sealed {
            Ok(tag) => out.extend(tag),
            // Fails above 256 GiB alone. A zero tag would be refused when opened.
            Err(_) => out[from..].fill(0),
        }
    }

    /// What was sealed, opened where it lies, or `None` if key, associated data or bytes are
    /// others.
    pub(crate) fn open(&self, mut sealed: Vec<u8>, ad: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, rest) = sealed.split_at_mut_checked(NONCE)?;
        let (body, tag) = rest.split_at_mut_checked(rest.len().checked_sub(TAG)?)?;
        let len = body.len();
        self.cipher()
            .decrypt_in_place_detached(XNonce::from_slice(nonce), ad, body, (&*tag).into())
            .ok()?;
        sealed.copy_within(NONCE..NONCE + len, 0);
        // What lies behind is plain, too: the whole buffer is wiped when it goes.
        sealed.truncate(len);
        Some(Zeroizing::new(sealed))
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.0).into())
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(..)")
    }
}
