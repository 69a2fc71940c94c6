-- ?1 id
insert into sqlite_sequence (name, seq)
values ('links', ?1)
