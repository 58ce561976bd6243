//! The client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};

/// More rounds would keep the suite busy, and no server asks for so many.
const ITERATIONS_MAX: u32 = 1_000_000;

/// One exchange.
#[derive(Debug)]
pub(crate) struct Scram {
    password: String,
    nonce: String,
    first_bare: String,
}

/// What answers the challenge, and what the server then has to show.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The client's last message.
    pub(crate) message: String,
    /// The server's last message.
    pub(crate) server_final: String,
}

impl Scram {
    pub(crate) fn new(user: &str, password: &str, nonce: &str) -> Self {
        // RFC 5802, section 5.1: these two stand for themselves otherwise.
        let user = user.replace('=', "=3D").replace(',', "=2C");
        Self { password: password.into(), nonce: nonce.into(), first_bare: format!("n={user},r={nonce}") }
    }

    /// The client's first message.
    pub(crate) fn first(&self) -> String {
        format!("n,,{}", self.first_bare)
    }

    /// The answer to the server's first message; what is wrong with it otherwise.
    pub(crate) fn answer(&self, challenge: &str) -> Result<Answer, &'static str> {
        let attribute = |name: &str| challenge.split(',').find_map(|part| part.strip_prefix(name));
        let nonce = attribute("r=").ok_or("no nonce")?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err("a nonce that does not go on from the client's");
        }
        let salt = attribute("s=").and_then(|salt| STANDARD.decode(salt).ok()).ok_or("no salt")?;
        let iterations = attribute("i=").and_then(|count| count.parse::<NonZeroU32>().ok());
        let iterations = iterations.filter(|count| count.get() <= ITERATIONS_MAX).ok_or("no count of iterations")?;
        let mut salted = [0; digest::SHA256_OUTPUT_LEN];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, self.password.as_bytes(), &mut salted);
        let without_proof = format!("c=biws,r={nonce}");
        let said = format!("{},{challenge},{without_proof}", self.first_bare);
        let client_key = mac(&salted, b"Client Key");
        let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
        let signature = mac(stored_key.as_ref(), said.as_bytes());
        let proof: Vec<u8> = client_key.as_ref().iter().zip(signature.as_ref()).map(|(key, sign)| key ^ sign).collect();
        let server_signature = mac(mac(&salted, b"Server Key").as_ref(), said.as_bytes());
        Ok(Answer {
            message: format!("{without_proof},p={}", STANDARD.encode(proof)),
            server_final: format!("v={}", STANDARD.encode(server_signature)),
        })
    }
}

fn mac(key: &[u8], text: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_7677() {
        let scram = Scram::new("user", "pencil", "rOprNGfwEbeRWgbNEkqO");
        assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let challenge = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let answer = Answer {
            message: "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                      p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
                .into(),
            server_final: "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=".into(),
        };
        assert_eq!(scram.answer(challenge), Ok(answer));
    }

    #[test]
    fn a_challenge_that_may_be_anothers_is_not_answered() {
        let scram = Scram::new("user", "pencil", "abc");
        for challenge in ["", "r=abc,s=AA==,i=1", "r=xyz1,s=AA==,i=1", "r=abc1,s=?,i=1", "r=abc1,s=AA==,i=0"] {
            assert!(scram.answer(challenge).is_err(), "{challenge}");
        }
    }
}
