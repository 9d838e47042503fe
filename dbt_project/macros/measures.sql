{#- Measures, their limits and closed lists, one definition for all models. -#}

{% macro flow_measures() %}
cast(sum(case when is_new_flow then 1 else 0 end) as bigint) as flows,
    cast(count(*) as bigint) as tuples,
    cast(sum(case when is_new_flow and decision = 'A' then 1 else 0 end) as bigint) as allowed,
    cast(sum(case when is_new_flow and decision = 'D' then 1 else 0 end) as bigint) as denied,
    cast(sum(case when is_new_flow and is_malicious then 1 else 0 end) as bigint) as malicious,
    cast(
        coalesce(sum(bytes_src_to_dst) + sum(bytes_dst_to_src), sum(bytes_src_to_dst), sum(bytes_dst_to_src))
        as bigint
    ) as bytes,
    cast(count(distinct src_ip) as bigint) as distinct_sources,
    cast(count(distinct dst_ip) as bigint) as distinct_targets,
    cast(sum(case when is_new_flow and is_attempt then 1 else 0 end) as bigint) as attempts,
    cast(sum(case when is_new_flow and is_counted then 1 else 0 end) as bigint) as counted,
    cast(
        sum(
            case
                when is_counted
                    then coalesce(bytes_src_to_dst + bytes_dst_to_src, bytes_src_to_dst, bytes_dst_to_src)
            end
        ) as bigint
    ) as counted_bytes
{% endmacro %}


{#- An hour is busy if more of its minutes than these have records: then one without is remarkable. -#}
{% macro busy_minutes() %}
  {{ return("30") }}
{% endmacro %}


{#- Where a share of the values lies below; between two values as far as the share is between them. -#}
{% macro quantile(value, share) %}
  {{ return("cast(percentile_cont(" ~ share ~ ") within group (order by " ~ value ~ ") as double)") }}
{% endmacro %}


{#- The same from rows that hold one source each, so that sources are counted once. -#}
{% macro measures_of_sources() %}
{{ sums_of(['flows', 'tuples', 'allowed', 'denied', 'malicious']) }},
    cast(count(distinct src_ip) as bigint) as distinct_sources,
    cast(count(distinct case when allowed > 0 then src_ip end) as bigint) as allowed_sources,
    cast(count(distinct case when denied > 0 then src_ip end) as bigint) as denied_sources,
    {{ sums_of(['attempts', 'counted']) }}
{% endmacro %}


{#- The first measures of the flows of one source, for measures_of_sources to add up. -#}
{% macro measures_of_a_source() %}
sum(case when is_new_flow then 1 else 0 end) as flows,
        count(*) as tuples,
        sum(case when is_new_flow and decision = 'A' then 1 else 0 end) as allowed,
        sum(case when is_new_flow and decision = 'D' then 1 else 0 end) as denied,
        sum(case when is_new_flow and is_malicious then 1 else 0 end) as malicious,
        sum(case when is_new_flow and is_attempt then 1 else 0 end) as attempts,
        sum(case when is_new_flow and is_counted then 1 else 0 end) as counted
{% endmacro %}


{#- A source makes a burst with so many new flows in an hour, if they are that share of all. -#}
{% macro burst_flows() %}
  {{ return("100") }}
{% endmacro %}

{% macro burst_share() %}
  {{ return("0.05") }}
{% endmacro %}


{#- The encryption codes that Azure documents for VNet flow logs. -#}
{% macro known_encryption_codes() %}
  {{ return("'X', 'NX', 'NX_HW_NOT_SUPPORTED', 'NX_SW_NOT_READY', 'NX_NOT_ACCEPTED', 'NX_NOT_SUPPORTED', 'NX_LOCAL_DST', 'NX_FALLBACK', 'NX_ALL'") }}
{% endmacro %}
