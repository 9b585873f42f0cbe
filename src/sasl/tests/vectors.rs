//! Whole conversations with known numbers, and the work that they take.

use super::*;

struct Vector {
    choice: Choice,
    user: &'static str,
    password: &'static str,
    nonce: &'static str,
    messages: [&'static str; 4],
}

fn vectors() -> Vec<Vector> {
    vec![
        // RFC 5802, section 5.
        Vector {
            choice: sha1(),
            user: "user",
            password: "pencil",
            nonce: NONCE,
            messages: [
                "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
                FIRST,
                "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
                FINAL,
            ],
        },
        // RFC 7677, section 3.
        Vector {
            choice: scram(Hash::Sha256, Binding::Unsupported),
            user: "user",
            password: "pencil",
            nonce: "rOprNGfwEbeRWgbNEkqO",
            messages: [
                "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
                "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
                "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
                "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
            ],
        },
        // The rest is computed by the formulas of RFC 5802, section 3, in Python 3
        // with hashlib and hmac; the same program gives the two above. With H = the
        // hash, M(key, data) = hmac.digest and
        // salted = hashlib.pbkdf2_hmac(name, password, salt, rounds):
        //   auth = first_bare + "," + server_first + "," + final_without_proof
        //   p = M(salted, "Client Key") ^ M(H(M(salted, "Client Key")), auth)
        //   v = M(M(salted, "Server Key"), auth)
        Vector {
            choice: scram(Hash::Sha512, Binding::Unsupported),
            user: "user",
            password: "pencil",
            nonce: "rOprNGfwEbeRWgbNEkqO",
            messages: [
                "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
                "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
                "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==",
                "v=ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw==",
            ],
        },
        // Bound to the connection; A13, escaping; A6, an unknown attribute.
        Vector {
            choice: scram(Hash::Sha256, Binding::Exporter((0..32).collect())),
            user: "a,b=c",
            password: "p,=s",
            nonce: "rOprNGfwEbeRWgbNEkqO",
            messages: [
                "p=tls-exporter,,n=a=2Cb=3Dc,r=rOprNGfwEbeRWgbNEkqO",
                "r=rOprNGfwEbeRWgbNEkqO3rfcNHYJY1ZVvWVs7j,s=c2FsdCAmIG1vcmU=,i=4096,x=unknown",
                "c=cD10bHMtZXhwb3J0ZXIsLAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f,r=rOprNGfwEbeRWgbNEkqO3rfcNHYJY1ZVvWVs7j,p=A3rzxxlb1dLlLAVGEdOor/F0Apg/zkqDcczYDfT6SVY=",
                "v=I9GxAfMEYwS88/ICbGr6z8DGRzA5fhHLMYNaTDVjoDo=",
            ],
        },
        Vector {
            choice: scram(Hash::Sha1, Binding::ServerEndPoint(vec![0xff; 32])),
            user: "user",
            password: "pencil",
            nonce: NONCE,
            messages: [
                "p=tls-server-end-point,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
                FIRST,
                "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCws//////////////////////////////////////////8=,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=vOkk9HB7W2XANQp8Y8t0Um4EDRA=",
                "v=pqS2HgPQ5TFFtcKTnJfa/9sR2TQ=",
            ],
        },
        Vector {
            choice: scram(Hash::Sha1, Binding::Unoffered),
            user: "user",
            password: "pencil",
            nonce: NONCE,
            messages: [
                "y,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
                FIRST,
                "c=eSws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=BjZF5dV+EkD3YCb3pH3IP8riMGw=",
                "v=dsprQ5R2AGYt1kn4bQRwTAE0PTU=",
            ],
        },
    ]
}

#[test]
fn the_vectors_hold_in_slices_of_any_size() {
    for vector in vectors() {
        let credentials = Credentials::new(vector.user, vector.password).unwrap();
        let [client_first, server_first, client_final, server_final] = vector.messages;
        for slice in [0, 1, 7, 4096, u32::MAX] {
            let nonce = vector.nonce.to_owned();
            let (mut exchange, message) =
                Exchange::start(vector.choice.clone(), &credentials, nonce, LIMITS, None);
            assert_eq!(message, client_first.as_bytes());
            assert_eq!(finish(&mut exchange, server_first, slice), client_final);
            exchange
                .success(Some(&encode(server_final.as_bytes())))
                .unwrap();
        }
    }
}

#[test]
fn work_does_no_more_than_asked() {
    let mut exchange = begun();
    exchange.challenge(&encode(FIRST.as_bytes())).unwrap();
    // The first of the 4096 rounds is done on arrival.
    assert!(exchange.work(4094).is_none());
    assert!(exchange.work(1).is_some());
    assert!(exchange.work(4096).is_none());
}

#[test]
fn kept_keys_spare_the_work_where_they_fit() {
    let keys = proved()
        .success(Some(&encode(FINAL.as_bytes())))
        .unwrap()
        .take_keys()
        .unwrap();
    let again = |choice, message: &str| {
        let (mut exchange, _) =
            Exchange::start(choice, &pencil(), NONCE.into(), LIMITS, Some(&keys));
        let step = exchange.challenge(&encode(message.as_bytes())).unwrap();
        (exchange, step)
    };
    let (exchange, step) = again(sha1(), FIRST);
    assert!(
        matches!(step, Step::Respond(message) if message.ends_with(b"p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="))
    );
    assert!(exchange.success(Some(&encode(FINAL.as_bytes()))).is_ok());
    for (choice, message) in [
        (sha1(), FIRST.replace("i=4096", "i=4097")),
        (sha1(), FIRST.replace("s=QSX", "s=QSY")),
        (scram(Hash::Sha256, Binding::Unsupported), FIRST.to_owned()),
    ] {
        assert!(matches!(again(choice, &message).1, Step::Work));
    }
}
