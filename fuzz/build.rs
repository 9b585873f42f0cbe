//! Looks for libexpat, with which the targets compare, and says what to install where it is
//! missing: the linker's own words would not.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Compiles where the header is, is of the kind that `src/expat/sys.rs` declares, and the
/// library can be linked.
const PROBE: &str = "#include <expat.h>
_Static_assert(sizeof(XML_Char) == 1, \"expat gives UTF-8\");
_Static_assert(sizeof(XML_Index) == sizeof(long), \"positions are long\");
int main(void) { return XML_ExpatVersion() == 0; }
";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=CC");
    let dir = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let source = dir.join("probe.c");
    fs::write(&source, PROBE).expect("the probe is written");
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".into());
    let tried = Command::new(&compiler)
        .arg(&source)
        .arg("-o")
        .arg(dir.join("probe"))
        .arg("-lexpat")
        .output();
    let why = match tried {
        Ok(output) if output.status.success() => return,
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    eprintln!(
        "\nThe fuzz targets compare with libexpat, and it cannot be linked here: its library and \
         header are needed\n(on Debian and Ubuntu: apt-get install libexpat1-dev), and a C \
         compiler.\n\n`{compiler}` says:\n{why}"
    );
    std::process::exit(1);
}
