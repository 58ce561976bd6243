//! Accounts of people: sign-up, sign-in, passwords, second factors, sessions.
