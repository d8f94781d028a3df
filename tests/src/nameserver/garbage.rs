//! A name server that answers with nonsense.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often it is looked whether it is to stop.
const LOOK: Duration = Duration::from_millis(50);

/// The server; dropping it stops it. By TCP it takes connections and says nothing.
pub struct Garbage {
    answered: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    _tcp: TcpListener,
}

impl Garbage {
    /// Answers on sockets of [`super::bind`].
    ///
    /// # Errors
    /// When its thread can not be started.
    pub fn with_sockets((udp, tcp): (UdpSocket, TcpListener)) -> io::Result<Self> {
        udp.set_read_timeout(Some(LOOK))?;
        let (answered, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let thread = {
            let (answered, stop) = (Arc::clone(&answered), Arc::clone(&stop));
            std::thread::Builder::new()
                .name("garbage".to_owned())
                .spawn(move || serve(&udp, &answered, &stop))?
        };
        Ok(Self {
            answered,
            stop,
            thread: Some(thread),
            _tcp: tcp,
        })
    }

    /// How many questions it has answered.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

impl Drop for Garbage {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

fn serve(udp: &UdpSocket, answered: &AtomicU64, stop: &AtomicBool) {
    let mut buffer = [0; 2048];
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        // Nobody asked, or somebody who is gone.
        let Ok((size, from)) = udp.recv_from(&mut buffer) else {
            continue;
        };
        number += 1;
        let _sent: io::Result<usize> = answer(udp, &nonsense(number, &buffer[..size]), from);
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

fn answer(udp: &UdpSocket, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
    udp.send_to(bytes, to)
}

/// The ways to be nonsense, in turns.
fn nonsense(number: u64, question: &[u8]) -> Vec<u8> {
    let noise = (0..200_u64).map(|at| (at.wrapping_mul(number ^ 0x9e37_79b9) >> 3).to_le_bytes()[0]);
    let mut answer = question.to_vec();
    if let Some(flags) = answer.get_mut(2) {
        // It says that it is a response.
        *flags |= 0x80;
    }
    match number % 6 {
        0 => return noise.collect(),
        1 => answer.truncate(12),
        2 => answer.truncate(answer.len() - 1),
        // Counts that promise more than there is.
        3 => answer[4..12].fill(0xff),
        // The header, and noise behind it.
        4 => {
            answer.truncate(12);
            answer.extend(noise);
        }
        // An answer that points at itself: a name that never ends (RFC 1035, 4.1.4).
        _ => {
            answer[6..8].copy_from_slice(&1_u16.to_be_bytes());
            let own = u16::try_from(answer.len()).unwrap_or(0) | 0xc000;
            answer.extend(own.to_be_bytes());
            answer.extend([0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 203, 0, 113, 99]);
        }
    }
    answer
}
