{#- What the name of a rule tells, and from when on a rule counts as broad. -#}

{#- Of which kind a rule is. Those of a security admin configuration have a name of their own. -#}
{% macro rule_kind(rule) %}
case
        when lower({{ rule }}) like 'userrule%' then 'user'
        when lower({{ rule }}) like 'defaultrule%' then 'default'
        when lower({{ rule }}) like 'platformrule%' then 'platform'
        else 'other'
    end
{% endmacro %}


{#- A rule that let in sources from so many wide networks was made for nobody in particular. -#}
{% macro broad_networks() %}
  {{ return("20") }}
{% endmacro %}


{#- Whether the other side was seen to answer: counters are of what came after a flow began. -#}
{% macro is_answered() %}
max(case when flow_state in ('C', 'E') then packets_dst_to_src end) > 0
{% endmacro %}


{#- Bytes in both directions of a group of tuples; null if none are known. -#}
{% macro known_bytes() %}
cast(
        coalesce(sum(bytes_src_to_dst) + sum(bytes_dst_to_src), sum(bytes_src_to_dst), sum(bytes_dst_to_src))
        as bigint
    )
{% endmacro %}
