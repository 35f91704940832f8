in vec3 position;
in vec3 normal;
in vec2 uv;
in float open;
uniform sampler2D skin_map;   // relative colour (square root), height
uniform sampler2D part_map;   // nail, palm, flush, free edge of the nail
out vec4 colour;

// Normal perturbed by a height field, from screen-space differences (Mikkelsen 2010).
vec3 bumped(vec3 n, float strength) {
    vec2 ux = dFdx(uv), uy = dFdy(uv);
    float h = texture(skin_map, uv).a;
    float hx = texture(skin_map, uv + ux).a - h, hy = texture(skin_map, uv + uy).a - h;
    vec3 px = dFdx(position), py = dFdy(position);
    vec3 r1 = cross(py, n), r2 = cross(n, px);
    float det = dot(px, r1);
    vec3 gradient = sign(det) * (hx * r1 + hy * r2) * strength;
    return normalize(abs(det) * n - gradient);
}

void main() {
    vec3 view = normalize(-position);
    vec3 smooth_normal = normalize(normal);
    if (dot(smooth_normal, view) < 0.0) smooth_normal = normalize(smooth_normal - 1.02 * dot(smooth_normal, view) * view);
    vec4 part = texture(part_map, uv);
    vec4 skin = texture(skin_map, uv);
    vec3 n = bumped(smooth_normal, skin_tone.w * (1.0 - 0.85 * part.r));

    vec3 detail = skin.rgb * skin.rgb / 0.35;
    vec3 albedo = skin_tone.rgb * max(mix(vec3(1.0), detail, skin_surface.w), 0.05);
    albedo *= mix(vec3(1.0), palm_gain.rgb, part.g);
    albedo *= mix(vec3(1.0), vec3(1.10, 0.86, 0.86), part.b * palm_gain.w);
    vec3 bed = mix(nail_colour.rgb, vec3(0.72, 0.66, 0.58), part.a * (1.0 - nail_colour.w) * 0.7);
    albedo = mix(albedo, bed, part.r * mix(0.7, 1.0, nail_colour.w));
    albedo = min(albedo, vec3(0.92));

    float roughness = mix(clamp(skin_surface.x + 0.35 * (0.5 - skin.a), 0.22, 0.9), mix(0.34, 0.16, nail_colour.w), part.r);
    float f0 = mix(skin_surface.y, 0.045, part.r);
    vec3 wrap = vec3(0.42, 0.17, 0.09) * skin_surface.z * (1.0 - 0.6 * part.r);
    // Subsurface scattering smooths the light, red most: the red channel uses a smoother normal.
    vec3 n_red = normalize(mix(n, smooth_normal, 0.75 * skin_surface.z));
    // Where skin occludes skin, red light still arrives through it.
    vec3 tinted = deepened(open, clamp(vec3(0.0, 0.22, 0.35) - 0.3 * albedo, 0.0, 1.0));

    float lit = sunlight(position, smooth_normal);
    vec3 diffuse = vec3(ambient(n_red).r, ambient(n).gb) * tinted;
    vec3 specular = vec3(0.0);
    int lights = int(lens.z);
    for (int k = 0; k < lights; k++) {
        vec3 l = light_direction[k].xyz;
        float share = k == 0 ? lit : mix(1.0, open, 0.7);
        vec3 shade = deepened(share, vec3(0.0, 0.25, 0.4));
        vec3 cosine = vec3(dot(n_red, l), vec2(dot(n, l)));
        vec3 wrapped = max((cosine + wrap) / (1.0 + wrap), 0.0);
        wrapped *= (wrapped + wrap) / (1.0 + wrap);  // soft transition at the terminator
        vec3 lambert = max(cosine, 0.0);
        wrapped = mix(lambert, wrapped, step(vec3(0.001), wrap));
        diffuse += light_colour[k].rgb * wrapped * shade;
        float facing = max(dot(n, l), 0.0);
        specular += light_colour[k].rgb * share * facing * highlight(n, view, l, roughness)
            * min(fresnel(f0, dot(normalize(view + l), view)), 3.0 * f0);
    }
    // Skin is rough and downy: limit the reflection at grazing angles.
    float edge = min(fresnel(f0, dot(n, view)) * (1.0 - 0.8 * roughness), 4.0 * f0);
    specular += mirrored(view, n, roughness) * edge * open * open;
    colour = vec4(respond(albedo * diffuse + specular), 1.0);
}
