//! Documents that cannot drift: the pages and the tables are read together.
