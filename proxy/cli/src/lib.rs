//! What the command lines of the gateway's programs share: parsing arguments, printing tables and
//! JSON, reporting errors. It knows no program; see docs/decisions/0033-one-command-line-crate.md.

mod program;
mod arguments;
mod time_spec;
mod admin_address;
mod output;
mod table;
mod route_table;
mod keys;

pub use admin_address::{AdminAddress, InvalidAdminAddress};
pub use arguments::{
    InvalidKeyArgument, InvalidListenAddress, KeyArgs, KeyIdArgs, NewKeyArgs, RotateArgs,
    listen_address,
};
pub use keys::KeySummary;
pub use output::{OutputArgs, OutputFormat, Streams, write_json};
pub use program::{ProgramError, main, parse, print_error, try_parse};
pub use route_table::print_route_table;
pub use table::{Table, age, time, time_or};
pub use time_spec::{InvalidTimeSpec, TimeSpec};
