//! Other people's kernels on the same operands: references for development, under the feature `peers`.
//!
//! Each is called by its safe interface, with its operands prepared outside of what is timed. What it computes is compared
//! with the oracle like a rung of ours.

pub(super) mod candle;
pub(super) mod products;

use super::{Case, Entry, Ladder};
use crate::{Result, timing::seconds, workload::Precision};
use gradus_kernels::Isa;

/// Somebody else's kernel.
pub(super) trait Peer: Send {
    /// Its name.
    fn name(&self) -> &'static str;
    /// What it is.
    fn idea(&self) -> &'static str;
    /// Computes its result.
    fn run(&mut self);
    /// The result, in the order of ours.
    fn result(&self) -> Vec<f32>;
}

/// A ladder, and other people's kernels after it.
pub(super) struct WithPeers<F: 'static, D> {
    ladder: Ladder<F, D>,
    peers: Vec<Box<dyn Peer>>,
    /// Puts the result of a peer where the rungs put theirs.
    place: fn(&mut D, &[f32]),
}

impl<F, D> WithPeers<F, D> {
    pub(super) fn new(ladder: Ladder<F, D>, peers: Vec<Box<dyn Peer>>, place: fn(&mut D, &[f32])) -> WithPeers<F, D> {
        WithPeers { ladder, peers, place }
    }
}

impl<F: Copy + Send + Sync, D: Send> Case for WithPeers<F, D> {
    fn rungs(&self) -> Vec<Entry> {
        let peers = self.peers.iter().map(|peer| Entry {
            name: peer.name(),
            idea: peer.idea(),
            simd: false,
            peer: true,
            precision: Precision::F32,
        });
        self.ladder.rungs().into_iter().chain(peers).collect()
    }

    fn run(&mut self, rung: usize, isa: Isa) {
        match rung.checked_sub(self.ladder.rungs.len()) {
            None => self.ladder.run(rung, isa),
            Some(peer) => self.peers[peer].run(),
        }
    }

    /// Outputs that a peer does not have (log-sum-exp, means) are those of our uppermost rung.
    fn check(&mut self, rung: usize, isa: Isa) -> Result<f64> {
        let Some(peer) = rung.checked_sub(self.ladder.rungs.len()) else { return self.ladder.check(rung, isa) };
        (self.ladder.reset)(&mut self.ladder.data);
        self.ladder.run(self.ladder.rungs.len() - 1, Isa::active());
        let peer = &mut self.peers[peer];
        let once = seconds(|| peer.run());
        (self.place)(&mut self.ladder.data, &peer.result());
        let got = (self.ladder.outputs)(&self.ladder.data);
        self.ladder.compare(&got, None, peer.name(), isa)?;
        Ok(once)
    }
}
