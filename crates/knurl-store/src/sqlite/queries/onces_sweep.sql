-- ?1 before, ?2 most rows
delete from onces
where rowid in (select rowid from onces where at < ?1 order by at limit ?2)
