-- ?1 name, ?2 last id. Whatever the table says of this name was removed before
insert into sqlite_sequence (name, seq)
values (?1, ?2)
