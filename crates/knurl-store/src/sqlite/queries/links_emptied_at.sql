-- When somebody else emptied the table last (the triggers `links_emptied`). A clock that was set back since knows nothing of it.
select value
from counters
where name = 'links_emptied_at' and value <= cast(round((julianday('now') - 2440587.5) * 86400000) as integer)
