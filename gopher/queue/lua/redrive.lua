-- Let dead jobs start afresh: same id and history, attempts from zero.
--
-- failed -> pending
--
-- KEYS  1 prefix
-- ARGV  ids
-- Returns  how many went back
-- uses: base clock arm dead revive
local count_back = 0
open_when_full()

for i = 1, #ARGV do
  if redis.call('ZSCORE', P .. 'failed', ARGV[i]) and revive(ARGV[i]) then
    count_back = count_back + 1
  end
end

if count_back > 0 then
  arm()
end
write_counts()
return count_back
