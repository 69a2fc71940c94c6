-- $1 id, $2 fingerprint, $3 now, $4 fates
insert into onces (id, fingerprint, at, fates)
values ($1, $2, $3, $4)
