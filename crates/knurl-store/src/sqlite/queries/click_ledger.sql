-- One statement, so that all figures are of one snapshot. Counts the rows there are: an audit must not believe a counter.
select
  (select coalesce(sum(seq), 0) from cursors) as delivered,
  (select value from counters where name = 'clicks_undecodable') as undecodable,
  (select count(*) from events where source = 0) as raw,
  (select value from counters where name = 'clicks_purged') as purged,
  (select value from counters where name = 'clicks_external') as external,
  (select coalesce(sum(total), 0) from link_totals) as rolled_up
