-- A trusted job's unique name is <type> <key>. Earlier versions know the key alone, and store and look for that. So a trusted
-- job is stored under the key alone too, unless a job of another type has that: then processes of both versions see it, and
-- free it. It does not count for jobs of an owner, since the owner of an earlier version's job is not known.
local function key_of(unique)
  return string.match(unique, '^[^ ]+ ([^ ]+)$')
end

-- Return the id of the job that is stored under a key alone, and its type.
local function stored_under_key(key)
  local id = redis.call('GET', P .. KEY.unique .. key)
  return id, id and redis.call('HGET', P .. KEY.job .. id, 'type')
end

-- Return the id of the job that is stored under a unique name, or nil.
local function stored_under(unique, job_type)
  local id = redis.call('GET', P .. KEY.unique .. unique)
  local key = not id and key_of(unique)
  if key then
    local holder, its_type = stored_under_key(key)
    id = its_type == job_type and holder
  end
  return id or nil
end

-- Return what to store a job under that nothing holds.
local function name_to_store(unique, job_type)
  local key = key_of(unique)
  if not key then
    return unique
  end
  local _, its_type = stored_under_key(key)
  return (not its_type or its_type == job_type) and key or unique
end

-- Return the unfinished job with the same unique name that a job waits for: one that was running when it came (see
-- unique_modes). nil if there is none.
local function holder_before(id)
  local fields = redis.call('HMGET', P .. KEY.job .. id, 'parents', 'unique')
  local parent = fields[1] and redis.call('HMGET', P .. KEY.job .. fields[1], 'state', 'unique')
  return parent and parent[2] == fields[2] and not ENDED[parent[1]] and fields[1] or nil
end

-- A waiting job ends: the one that it has followed has the unique name again.
local function return_unique_key(id, unique)
  local before = unique and redis.call('GET', P .. KEY.unique .. unique) == id and holder_before(id)
  if before then
    redis.call('SET', P .. KEY.unique .. unique, before, 'KEEPTTL')
  end
end

-- Return an unfinished job, the answer that describes it, and its state.
local function describe_holder(holder)
  local fields = redis.call('HMGET', P .. KEY.job .. holder, 'state', 'priority', 'expires')
  local state, priority, expires = fields[1], fields[2], fields[3]
  -- One that is too late to start has ended, even if no worker has come to it yet.
  if not state then
    return nil
  elseif UNSTARTED[state] and expires and tonumber(expires) <= now then
    local before = holder_before(holder)
    if before then
      return describe_holder(before)
    end
    return nil
  end
  return holder, holder .. ' ' .. state .. ' ' .. (priority or ''), state
end

-- Return the id of a waiting or running job with the unique name, the answer that describes it, and its state, or nil.
local function holder_of(unique, job_type)
  local holder = stored_under(unique, job_type)
  if holder then
    return describe_holder(holder)
  end
end
