-- ?1 id
update sqlite_sequence
set seq = max(seq, ?1)
where name = 'links'
