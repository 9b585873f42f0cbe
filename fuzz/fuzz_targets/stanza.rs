#![cfg_attr(fuzzing, no_main)]
parley_xmpp_fuzz::fuzz!(stanza);
